"""Every error of the project, in one tree.

OrchestrationError
├── ConfigurationError            a setting, a schema, a worker's set of agents
│   └── SchemaOutdated            the database lacks a migration
├── EmbeddedServerError           a server or process of the embedded stack
│   └── EmbeddedServerMissing     there is no program to start: the extra is missing
├── InvalidSaga                   refused before anything started; ``faults`` lists why
│   └── UnknownAgent              no worker ever announced the agent or its action
├── InvalidQuery                  a query of the registry was refused; ``faults``
├── InvalidCondition              a text is no condition of a rule or of a step
├── InvalidPipeline               refused before anything started; ``faults`` lists why
├── PipelineNotCompleted          a run's outcome is final, and not COMPLETED
│   ├── PipelineFailed            a stage gave up: ``retry`` tries it again
│   ├── PipelineTimedOut          the time for the whole run was over
│   ├── PipelinePaused            nobody knows what became of a stage
│   └── PipelineCancelled         cancelled on request
├── TooManySagas                  the limit of open sagas is reached: try later
├── InvalidTemplate               a template was refused; ``faults`` lists why
├── TemplateNotFound              the folder has no template of that name or version
├── InvalidScatter                a scatter was refused before anything was sent
├── ScatterError                  a scatter's answers came to nothing; it carries them
│   ├── InsufficientResponses     fewer than ``min_responses`` have answered
│   └── AggregationConflict       the answers contradict each other
├── InvalidAgentData              told of an agent and refused; ``faults`` lists why
│   ├── InvalidDescriptor         what it says of itself
│   ├── InvalidHeartbeat          its metrics
│   └── InvalidCard               its A2A agent card
├── DuplicateAgent                the id is that of a live agent with another owner
├── ForeignAgent                  the agent is another region's: change it there
├── AgentNotFound                 no agent of that id is registered
├── TooManyAgents                 the limit of registered agents is reached
├── DiscoveryTimeout              agents were not found in the time that was given
├── TokenRefused                  a registration token does not open this agent's name
├── PayloadTooLarge               a message or an event over its limit
├── InvalidRoute                  a rule or static route was refused; ``faults``
├── RoutingError                  about one message; nothing was sent
│   ├── NoRoute                   no rule, no static route, no agent of that name
│   ├── UnknownTarget             a route names only agents that nobody knows
│   └── NoTargetAvailable         its agents are known, and none may have it now
│       └── AllUnhealthy          each of them is silent or gone
├── TransportError                the broker or the database could not be reached
├── InvalidTopic                  a text is no topic, or no pattern of topics
├── MessageError                  about one message, whose ``message_id`` it carries
│   ├── InvalidMessage            it cannot be sent like this
│   ├── UnknownRecipient          no worker ever announced the agent
│   ├── NoHandler                 the agent is known, and takes no such message
│   ├── MessageExpired            its deadline had passed before it was sent
│   ├── RequestTimedOut           no answer came by the deadline
│   └── AgentError                the agent answered with an error
├── SagaError                     about one saga, whose ``saga_id`` it carries
│   ├── SagaNotFound              no such saga
│   ├── SagaConflict              the id belongs to a saga with another definition
│   ├── SagaStillRunning          the caller's wait ended before the saga did
│   ├── SagaActRefused            what was asked of it does not fit its state
│   └── SagaNotCompleted          the outcome is final and is not COMPLETED
│       ├── SagaCompensated       a step failed; what was done has been undone
│       ├── SagaCompensationFailed   undoing failed as well: a person is needed
│       ├── SagaFailed            halted for an operator
│       ├── SagaPaused            after the pivot, or with an unknown outcome
│       └── SagaCancelled         cancelled on request, and undone
├── InvalidSwarm                  refused before anything started; ``faults`` lists why
│   ├── UnknownFitness            no worker ever announced the fitness
│   ├── SwarmHandlerNotFound      no worker ever announced the handler of partitions
│   └── SwarmSourceNotFound       no worker ever announced the data source
├── SwarmError                    about one swarm, whose ``swarm_id`` it carries
│   ├── SwarmNotFound             no such swarm
│   ├── SwarmConflict             the id belongs to a swarm that was told otherwise
│   ├── SwarmStillRunning         the caller's wait ended before the swarm did
│   ├── SwarmActRefused           what was asked of it does not fit its status
│   └── SwarmFailed               it could not go on; the text says why
│       └── SwarmNonDeterministic  a state came out otherwise than it is on record
└── StepError                     raised by actions, or about one step
    ├── NonRetryable              raised by an action: trying again is useless
    ├── RetryLater                raised by an action: nothing was done, try then
    ├── OutcomeUnknown            raised by an action: it may have taken effect
    ├── StepTimedOut              raised into an action whose time is over
    └── DataConflict              two unordered steps wrote one key differently
"""

from orchestration.errors.agents import (
    AgentNotFound,
    DiscoveryTimeout,
    DuplicateAgent,
    ForeignAgent,
    InvalidAgentData,
    InvalidCard,
    InvalidDescriptor,
    InvalidHeartbeat,
    InvalidQuery,
    TokenRefused,
    TooManyAgents,
)
from orchestration.errors.base import (
    ConfigurationError,
    EmbeddedServerError,
    EmbeddedServerMissing,
    InvalidCondition,
    OrchestrationError,
    PayloadTooLarge,
    SchemaOutdated,
    TransportError,
)
from orchestration.errors.messages import (
    AgentError,
    InvalidMessage,
    InvalidTopic,
    MessageError,
    MessageExpired,
    NoHandler,
    RequestTimedOut,
    UnknownRecipient,
)
from orchestration.errors.pipelines import (
    InvalidPipeline,
    PipelineCancelled,
    PipelineFailed,
    PipelineNotCompleted,
    PipelinePaused,
    PipelineTimedOut,
)
from orchestration.errors.routes import (
    AggregationConflict,
    AllUnhealthy,
    InsufficientResponses,
    InvalidRoute,
    InvalidScatter,
    NoRoute,
    NoTargetAvailable,
    RoutingError,
    ScatterError,
    UnknownTarget,
)
from orchestration.errors.sagas import (
    DataConflict,
    InvalidSaga,
    InvalidTemplate,
    NonRetryable,
    OutcomeUnknown,
    RetryLater,
    SagaActRefused,
    SagaCancelled,
    SagaCompensated,
    SagaCompensationFailed,
    SagaConflict,
    SagaError,
    SagaFailed,
    SagaNotCompleted,
    SagaNotFound,
    SagaPaused,
    SagaStillRunning,
    StepError,
    StepTimedOut,
    TemplateNotFound,
    TooManySagas,
    UnknownAgent,
)
from orchestration.errors.swarms import (
    InvalidSwarm,
    SwarmActRefused,
    SwarmConflict,
    SwarmError,
    SwarmFailed,
    SwarmHandlerNotFound,
    SwarmNonDeterministic,
    SwarmNotFound,
    SwarmSourceNotFound,
    SwarmStillRunning,
    UnknownFitness,
)

__all__ = [
    "AgentError",
    "AgentNotFound",
    "AggregationConflict",
    "AllUnhealthy",
    "ConfigurationError",
    "DataConflict",
    "DiscoveryTimeout",
    "DuplicateAgent",
    "EmbeddedServerError",
    "EmbeddedServerMissing",
    "ForeignAgent",
    "InsufficientResponses",
    "InvalidAgentData",
    "InvalidCard",
    "InvalidCondition",
    "InvalidDescriptor",
    "InvalidHeartbeat",
    "InvalidMessage",
    "InvalidPipeline",
    "InvalidQuery",
    "InvalidRoute",
    "InvalidSaga",
    "InvalidScatter",
    "InvalidSwarm",
    "InvalidTemplate",
    "InvalidTopic",
    "MessageError",
    "MessageExpired",
    "NoHandler",
    "NoRoute",
    "NoTargetAvailable",
    "NonRetryable",
    "OrchestrationError",
    "OutcomeUnknown",
    "PayloadTooLarge",
    "PipelineCancelled",
    "PipelineFailed",
    "PipelineNotCompleted",
    "PipelinePaused",
    "PipelineTimedOut",
    "RequestTimedOut",
    "RetryLater",
    "RoutingError",
    "SagaActRefused",
    "SagaCancelled",
    "SagaCompensated",
    "SagaCompensationFailed",
    "SagaConflict",
    "SagaError",
    "SagaFailed",
    "SagaNotCompleted",
    "SagaNotFound",
    "SagaPaused",
    "SagaStillRunning",
    "ScatterError",
    "SchemaOutdated",
    "StepError",
    "StepTimedOut",
    "SwarmActRefused",
    "SwarmConflict",
    "SwarmError",
    "SwarmFailed",
    "SwarmHandlerNotFound",
    "SwarmNonDeterministic",
    "SwarmNotFound",
    "SwarmSourceNotFound",
    "SwarmStillRunning",
    "TemplateNotFound",
    "TokenRefused",
    "TooManyAgents",
    "TooManySagas",
    "TransportError",
    "UnknownAgent",
    "UnknownFitness",
    "UnknownRecipient",
    "UnknownTarget",
]
