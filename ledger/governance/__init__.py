"""How companies change the network they share: proposals, votes, and what follows from them. Pure.

Door: `ledger.governance.calls.govern`, which runs one call of the reserved contract `governance` (LR1).

    records     what stands in state: proposals, votes, invites, admissions, suspensions, and the payloads of each kind
    members     pure rules of the next member set: bounds and the quorum guard (P116); `Effect` is the dry run
    keys        proofs of possession and root signatures that travel in payloads (S7, S22, S26)
    network     what each kind about companies and keys asks for and changes (S22-S27)
    programs    contracts by vote: plans, versions, which contracts are active at a height (L57-L63)
    calls       the methods of the contract, who may call them, and how votes are counted
    follow      from a genesis document to the members of a later epoch, for whoever was not there (P85)
"""
