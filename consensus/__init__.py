"""How it is agreed on: signature PBFT with a chained window, as a pure state machine.

Door: `consensus.replica.Replica.step(event) -> list[Effect]`.

    upon a transaction, at the primary:         BuildBlock, PRE-PREPARE(v, s, d)
    upon PRE-PREPARE from primary(v, s):        Accepted is durable, PREPARE to all
    upon q votes (v, s, d), its primary's too:  PreparedHere is durable, COMMIT to all
    upon q COMMIT (v, s, d), or a certificate:  CommittedHere is durable, Deliver
    upon an expired timer:                      SUSPECT(v) to all, and keep voting
    upon f+1 members against v:                 Left is durable, VIEW-CHANGE to all
    upon q VIEW-CHANGE, at the collector:       Entered is durable, NEW-VIEW to all
    upon NEW-VIEW:                              Entered is durable, the prepared blocks again
    upon STATUS:                                send what its sender lacks

Own votes are counted at once, before they are durable: whatever follows from them waits for a later record of the
same log (P157). No set is ever iterated, and masks stand for sets of members (P160). The rules P.. and the
deviations from the paper are in docs/protocol.md, messages and records in docs/message-table.md.
"""
