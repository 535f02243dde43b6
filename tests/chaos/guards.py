"""Every guard against what comes twice, late, early or out of turn.

Messages are doubled, workers die or come back from the dead, answers are lost, beats
tick twice. Each guard here holds off one thing that would follow from that; most stand
behind one another. ``test_guards.py`` shows of each that without it something wrong
gets through. Nothing in the product can switch one off.
"""

from __future__ import annotations

from enum import StrEnum

__all__ = ["Guard"]


class Guard(StrEnum):
    """What each guard sees to."""

    # --- the log: one decision for one version
    ROW_VERSION = "a decision counts only at the version of the row it was taken at"
    ROW_LOCK = "two decisions at once: the second waits, and sees the first"
    APPEND_VERSION = "events are appended at the version that was read only"
    EVENT_ID = "one fact has one id, whoever tells it"
    STORE_ID = "a stream holds no event id twice"
    HEAL_VERSION = "a row is not rebuilt from a past that has gone on"
    START_ONCE = "a saga that has begun does not begin again"
    START_TASK_ID = "a start message without an id begins one saga"

    # --- claims: one delivery acts; there is one for each Refusal
    CLAIM_HELD = "a step that another delivery holds is left alone"
    CLAIM_SETTLED = "a step that is done is not done again"
    CLAIM_NOT_DUE = "a retry begins no sooner than it is due"
    CLAIM_NOT_READY = "a step waits for those it depends on"
    CLAIM_ANOTHERS = "a step is done by the agent that was chosen for it alone"
    CLAIM_ENDED = "a saga that is being undone does nothing more"
    FALSE_HINT = "a claim by a message's word alone is checked against the past"

    # --- outcomes: only of the attempt that is open, and once
    OUTCOME_FENCE = "an outcome counts for its own attempt only"
    FOLD_FENCE = "an event of an attempt that is not open changes nothing"
    LEASE_FENCE = "an outcome counts only of who holds the lease"
    TOLD_AGAIN = "an outcome that is told again is not taken for a late one"
    LATE_ONCE = "a late result is on record once"
    LATE_ROLLBACK = "a late result is not told in the transaction of its work"
    LATE_DROP = "the database work of an attempt that was too late is undone"
    KEY_OF_ROUND = "each attempt at one effect has the same idempotency key"

    # --- leases: nobody is given up who lives
    EXPIRY_RENEWED = "a lease renewed in the last moment does not run out"
    EXPIRY_AFTER_RESTART = "a restarted database gives everybody time to renew"
    EXPIRY_OVERTAKEN = "a loss is not told of an attempt that has ended meanwhile"
    RENEW_OWNER = "only who holds a lease prolongs it"

    # --- messages: none is sent twice without need
    CHAIN_CUT_REFUSED = "a delivery that is refused does not send the chain's rest"
    CHAIN_CUT_TURNED = "a chain's rest that is not what follows is not sent"
    SENT_SINCE = "a branch that ends does not send its siblings again"
    RETRY_GAP = "a retry is sent by its own task only"
    OVERDUE = "the sweep sends only what has waited in vain"
    LOOK_CLAIMED = "two sweeps at once look at different sagas"
    LETTER_CLAIMED = "two at once try different failed undos again"
    NOTICE_CLAIMED = "two at once deliver different notices"
    TICK_SLOT = "two beats fire one tick once"
    SCHEDULE_ID = "a schedule's slot starts one saga, whoever looks"
    SCHEDULE_MOVED = "a schedule that has gone on is not set back"

    # --- what sagas do to each other, and people to them
    SIGNAL_ONCE = "a signal that comes twice counts once"
    CANCEL_ONCE = "a cancel that comes twice is on record once"
    CHILD_ID = "a step's child saga is the same one whenever it is asked for"
    CHILD_TOLD_ONCE = "a child's end is told to its parent once"
    LOCK_HOLDER = "a lock has one holder"
