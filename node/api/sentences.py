"""Why is nothing happening? The quorum sentence and the why answer, in both languages (C18-C20, U21).

Two doors: `network_sentence` speaks for somebody who sees all nodes (the supervisor of a local cluster), `why` and
`node_sentence` for one node that sees its own links. Both are made from data only, so a table test can hold
each sentence against what a network then does. Templates are whole sentences with named parts; nothing is
glued together from fragments (U57). Counts have a template for one and one for more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ledger.certificate import faults, quorum
from node.api.ports import ConsensusStatus, MemberStatus

LANGUAGES: Final = ("en", "zh-CN")

_T: Final[Mapping[str, tuple[str, str]]] = {
    # somebody who sees every node
    "net.all_up": (
        "{up} of {n} nodes are up, {q} are needed: blocks continue. {spare} failures are tolerated.",
        "{n} 个节点中有 {up} 个在线，需要 {q} 个：继续出块。还能容忍 {spare} 个节点故障。",
    ),
    "net.all_up.one": (
        "{up} of {n} nodes are up, {q} are needed: blocks continue. One failure is tolerated.",
        "{n} 个节点中有 {up} 个在线，需要 {q} 个：继续出块。还能容忍 1 个节点故障。",
    ),
    "net.tight": (
        "{up} of {n} nodes are up, {q} are needed: blocks continue. One more failure stops them.",
        "{n} 个节点中有 {up} 个在线，需要 {q} 个：继续出块。再有一个节点故障就会停止。",
    ),
    "net.stopped": (
        "{up} of {n} nodes are up, {q} are needed: no new blocks. Reads are served at height {height}. "
        "Start {missing} nodes to continue.",
        "{n} 个节点中有 {up} 个在线，需要 {q} 个：不再出块。仍可读取高度 {height} 的数据。"
        "启动 {missing} 个节点即可继续。",
    ),
    "net.stopped.one": (
        "{up} of {n} nodes are up, {q} are needed: no new blocks. Reads are served at height {height}. "
        "Start one node to continue.",
        "{n} 个节点中有 {up} 个在线，需要 {q} 个：不再出块。仍可读取高度 {height} 的数据。启动一个节点即可继续。",
    ),
    "net.none": (
        "No node is up. {q} of {n} are needed for blocks and one for reads.",
        "没有节点在线。出块需要 {n} 个中的 {q} 个，读取需要 1 个。",
    ),
    "net.even_split": (
        "Each side has {side} of {n}, {q} are needed: no new blocks on either side, and no fork is possible. {heal}",
        "每一侧有 {n} 个中的 {side} 个，需要 {q} 个：两侧都不出块，也不可能分叉。{heal}",
    ),
    "net.split": (
        "The largest group has {side} of {n}, {q} are needed: no new blocks anywhere, and no fork is possible. {heal}",
        "最大的一组有 {n} 个中的 {side} 个，需要 {q} 个：任何一侧都不出块，也不可能分叉。{heal}",
    ),
    "net.minority": (
        "{able} of {n} can still agree: blocks continue. {names} serve reads at height {height} and will catch up "
        "after heal.",
        "{n} 个中的 {able} 个仍可达成一致：继续出块。{names} 提供高度 {height} 的读取，恢复后会追上。",
    ),
    "net.minority.one": (
        "{able} of {n} can still agree: blocks continue. {names} serves reads at height {height} and will catch up "
        "after heal.",
        "{n} 个中的 {able} 个仍可达成一致：继续出块。{names} 提供高度 {height} 的读取，恢复后会追上。",
    ),
    "net.silent_leader": (
        "The leader is silent: expect a change of leader in about {seconds} s, then blocks continue.",
        "主节点没有响应：预计约 {seconds} 秒后更换主节点，然后继续出块。",
    ),
    "net.lying": (
        "{lying} lying nodes, {f} are tolerated: blocks continue; look for evidence on /network.",
        "{lying} 个节点作恶，可容忍 {f} 个：继续出块；证据见 /network。",
    ),
    "net.lying.one": (
        "{lying} lying node, {f} is tolerated: blocks continue; look for evidence on /network.",
        "{lying} 个节点作恶，可容忍 {f} 个：继续出块；证据见 /network。",
    ),
    "net.lying_stopped": (
        "{lying} lying nodes and {honest} honest ones, {q} are needed: blocks may stop, and no fork is possible. "
        "Start a node to continue.",
        "{lying} 个节点作恶，{honest} 个诚实，需要 {q} 个：可能停止出块，但不可能分叉。启动一个节点即可继续。",
    ),
    "net.too_many_lies": (
        "{lying} lying nodes, {f} are tolerated: agreement is no longer guaranteed. The checkers will report a fork "
        "and who signed it.",
        "{lying} 个节点作恶，只能容忍 {f} 个：不再保证一致。检查器会报告分叉以及签名者。",
    ),
    "net.too_many_lies.one": (
        "{lying} lying nodes, {f} is tolerated: agreement is no longer guaranteed. The checkers will report a fork "
        "and who signed it.",
        "{lying} 个节点作恶，只能容忍 {f} 个：不再保证一致。检查器会报告分叉以及签名者。",
    ),
    "net.no_tolerance": (
        "{up} of {n} nodes are up, {q} are needed: blocks continue. One more failure stops them, and fewer than four "
        "companies tolerate no lying node.",
        "{n} 个节点中有 {up} 个在线，需要 {q} 个：继续出块。"
        "再有一个节点故障就会停止；少于四家公司时不能容忍任何节点作恶。",
    ),
    "net.no_lies": (
        "{up} of {n} nodes are up, {q} are needed: blocks continue. One failure is tolerated, but no lying node: that "
        "takes four companies.",
        "{n} 个节点中有 {up} 个在线，需要 {q} 个：继续出块。"
        "还能容忍 1 个节点故障，但不能容忍节点作恶：那至少需要四家公司。",
    ),
    "net.retire_refused": (
        "Refused: {down} of the remaining members are down, the new network could not agree. Start them, or add a "
        "member first.",
        "已拒绝：其余成员中有 {down} 个不在线，新网络无法达成一致。请先启动它们，或先增加成员。",
    ),
    # one node, about its own links
    "node.fine": (
        "{reachable} of {n} members are reachable from {me}, {q} are needed: blocks continue. "
        "{spare} failures are tolerated.",
        "从 {me} 可连到 {n} 个成员中的 {reachable} 个，需要 {q} 个：继续出块。还能容忍 {spare} 个故障。",
    ),
    "node.fine.one": (
        "{reachable} of {n} members are reachable from {me}, {q} are needed: blocks continue. "
        "One failure is tolerated.",
        "从 {me} 可连到 {n} 个成员中的 {reachable} 个，需要 {q} 个：继续出块。还能容忍 1 个故障。",
    ),
    "node.no_tolerance": (
        "{reachable} of {n} members are reachable from {me}, {q} are needed: blocks continue. One more failure stops "
        "them, and fewer than four companies tolerate no lying member.",
        "从 {me} 可连到 {n} 个成员中的 {reachable} 个，需要 {q} 个：继续出块。"
        "再有一个故障就会停止；少于四家公司时不能容忍任何成员作恶。",
    ),
    "node.no_lies": (
        "{reachable} of {n} members are reachable from {me}, {q} are needed: blocks continue. One failure is "
        "tolerated, but no lying member: that takes four companies.",
        "从 {me} 可连到 {n} 个成员中的 {reachable} 个，需要 {q} 个：继续出块。"
        "还能容忍 1 个故障，但不能容忍成员作恶：那至少需要四家公司。",
    ),
    "node.tight": (
        "{reachable} of {n} members are reachable from {me}, {q} are needed: blocks continue. "
        "One more failure stops them.",
        "从 {me} 可连到 {n} 个成员中的 {reachable} 个，需要 {q} 个：继续出块。再有一个故障就会停止。",
    ),
    "node.stopped": (
        "No new blocks for {age}. {reachable} of {n} members reachable from {me}, {q} are needed.",
        "已有 {age} 没有新区块。从 {me} 只能连到 {n} 个成员中的 {reachable} 个，需要 {q} 个。",
    ),
    "node.stopped_fresh": (
        "No new blocks. {reachable} of {n} members reachable from {me}, {q} are needed.",
        "没有新区块。从 {me} 只能连到 {n} 个成员中的 {reachable} 个，需要 {q} 个。",
    ),
    "node.changing": (
        "The members are choosing a new leader, for view {target}. {reachable} of {n} members are "
        "reachable from {me}, {q} are needed.",
        "成员正在更换主节点，转到视图 {target}。从 {me} 可连到 {n} 个成员中的 {reachable} 个，需要 {q} 个。",
    ),
    "node.late": (
        "No new blocks for {age} although {reachable} of {n} members are reachable from {me} and {q} are needed.",
        "已有 {age} 没有新区块，尽管从 {me} 可连到 {n} 个成员中的 {reachable} 个，只需要 {q} 个。",
    ),
    "node.forming": (
        "{here} of the {q} members needed are in view {target}, to which the members change: no new blocks until then. "
        "{reachable} of {n} are reachable from {me}.",
        "成员正在转到视图 {target}，所需 {q} 个中已有 {here} 个：此前不出块。"
        "从 {me} 可连到 {n} 个成员中的 {reachable} 个。",
    ),
    "node.behind": (
        "{me} stands at height {height} and fetches blocks up to {top}. {reachable} of {n} members are reachable, "
        "{q} are needed.",
        "{me} 位于高度 {height}，正在获取直到 {top} 的区块。可连到 {n} 个成员中的 {reachable} 个，需要 {q} 个。",
    ),
    "node.stuck": (
        "{me} stands at height {height}, others at {top} or above, and none of the blocks between is on its way. "
        "{reachable} of {n} members are reachable, {q} are needed.",
        "{me} 位于高度 {height}，其他成员已在 {top} 或更高，其间的区块都没有在获取。"
        "可连到 {n} 个成员中的 {reachable} 个，需要 {q} 个。",
    ),
    "node.guest": (
        "{me} is not a member in epoch {epoch}: it follows without voting at height {height}.",
        "{me} 在第 {epoch} 期不是成员：只跟随、不投票，位于高度 {height}。",
    ),
    "node.suspended": (
        "{sentence} The other companies suspended {me}: its people and its transactions are shut out until they resume "
        "it; its node votes on.",
        "{sentence}其他公司已暂停 {me}：在恢复之前，其人员和交易均被拒绝；其节点继续投票。",
    ),
    "node.voteless": (
        "{sentence} {count} others are connected, but do not vote.",
        "{sentence}另有 {count} 个成员已连接，但不投票。",
    ),
    "node.voteless.one": (
        "{sentence} Another one is connected, but does not vote.",
        "{sentence}另有 1 个成员已连接，但不投票。",
    ),
    "node.learner": (
        "{me} follows without voting at height {height}. Blocks depend on the other members.",
        "{me} 目前只跟随、不投票，位于高度 {height}。出块取决于其他成员。",
    ),
    "node.silenced": (
        "{me} follows without voting at height {height}: {reason}. Blocks depend on the other members.",
        "{me} 目前只跟随、不投票，位于高度 {height}：{reason}。出块取决于其他成员。",
    ),
    "node.halted": (
        "{me} has stopped for good: {reason}. It signs nothing more.",
        "{me} 已永久停止：{reason}。它不再签署任何内容。",
    ),
    # before the members change
    "effect.stops": (
        "It would stop the network: of the {n} members then, {present} can vote as this node sees it, and {q} must. "
        "Missing: {names}.",
        "这会使网络停止：变更后的 {n} 个成员中，据本节点所见有 {present} 个可以投票，而需要 {q} 个。缺少：{names}。",
    ),
    # the state line of the why answer
    "state.changing": (
        "Moving to view {target}; {timer} {waiting}",
        "正在转到视图 {target}；{timer}{waiting}",
    ),
    "state.guest": (
        "Its company has no vote: the others must admit it, and its people then say `hansa company ready`. {waiting}",
        "该公司没有表决权：须由其他成员接纳，然后由其人员执行 `hansa company ready`。{waiting}",
    ),
    "state.admitted": (
        "Its company is admitted; its vote begins with the epoch after `hansa company ready`. {waiting}",
        "该公司已被接纳；执行 `hansa company ready` 后的下一期起有表决权。{waiting}",
    ),
    "state.gone": (
        "Its company has left the network or was removed; the others end their links. {waiting}",
        "该公司已离开或被移出网络；其他成员将断开连接。{waiting}",
    ),
    "state.key_missing": (
        "This node must not vote: {reason}. {waiting}",
        "本节点不得投票：{reason}。{waiting}",
    ),
    "state.normal": (
        "View {view}, leader {leader}, next height {next}: {phase}. {timer} {waiting}",
        "视图 {view}，主节点 {leader}，下一高度 {next}：{phase}。{timer}{waiting}",
    ),
    "state.learner": (
        "This node does not vote: it is catching up, or it lost its journal and waits for a new key. {waiting}",
        "本节点不投票：它正在追赶，或丢失了日志并等待新密钥。{waiting}",
    ),
    "state.silenced": (
        "This node must not vote: {reason}. Its data was set back, lost, or is used twice. {waiting}",
        "本节点不得投票：{reason}。其数据被回退、丢失或被重复使用。{waiting}",
    ),
    "state.halted": (
        "This node found a contradiction and stopped: {reason}.",
        "本节点发现矛盾并已停止：{reason}。",
    ),
    "phase.nothing": ("nothing is proposed", "尚无提议"),
    "phase.quorum": ("too few members are here to decide", "在场成员太少，无法决定"),
    "phase.proposal": ("the leader has not proposed a block yet", "主节点尚未提议区块"),
    "phase.votes": ("a block is proposed, votes are being collected", "已有提议，正在收集投票"),
    "phase.refused": (
        "this node refused the block of the leader: {reason}",
        "本节点拒绝了主节点的区块：{reason}",
    ),
    "phase.bodies": (
        "a block is proposed, some of its transactions are not here yet",
        "已有提议，其部分交易尚未到达",
    ),
    "phase.execution": (
        "the window is full: results of earlier blocks are still being computed here",
        "窗口已满：此处仍在计算先前区块的结果",
    ),
    "phase.sync": ("blocks are missing here and are being fetched", "此处缺少区块，正在获取"),
    "phase.echo": (
        "this node restarted and signs nothing until enough members have told what they hold of its votes",
        "本节点已重启，在足够多的成员告知其持有的投票之前不签署任何内容",
    ),
    "timer.runs": (
        "the timer {name} ends in {rest}.",
        "计时器 {name} 将在 {rest} 后结束。",
    ),
    "timer.progress": (
        "the leader has {rest} left to bring the next block.",
        "主节点须在 {rest} 内给出下一区块。",
    ),
    "timer.new_view": (
        "the next leader has {rest} left to open the new view.",
        "下一主节点须在 {rest} 内开启新视图。",
    ),
    "timer.watch": (
        "nothing is awaited; the leader is expected to show itself within {rest}.",
        "没有需要等待的内容；主节点应在 {rest} 内有所响应。",
    ),
    "timer.due": ("the timer {name} is due now.", "计时器 {name} 现已到期。"),
    "timer.no_quorum": (
        "{reachable} of the {q} members needed are here, so no timer runs.",
        "所需 {q} 个成员中只有 {reachable} 个在场，因此没有计时器在运行。",
    ),
    "timer.gathering": (
        "the timer of its leader starts when {q} members are in it.",
        "待 {q} 个成员进入后，其主节点的计时器才开始。",
    ),
    "timer.none": ("no timer runs here.", "此处没有计时器在运行。"),
    "timer.idle": ("nothing is awaited, so no timer runs.", "没有需要等待的内容，因此没有计时器在运行。"),
    "waiting.none": ("No transaction waits.", "没有交易在等待。"),
    "waiting.one": (
        "1 transaction waits, for {oldest}; it is not lost.",
        "有 1 笔交易在等待，已 {oldest}；没有丢失。",
    ),
    "waiting": (
        "{waiting} transactions wait, oldest {oldest}; none is lost.",
        "有 {waiting} 笔交易在等待，最早 {oldest}；没有丢失。",
    ),
    # one member
    "member.self": ("this node", "本节点"),
    "member.up": ("connected", "已连接"),
    "member.silent": ("connected, but silent for {age}", "已连接，但已 {age} 没有消息"),
    "member.voteless": ("connected, but does not vote", "已连接，但不投票"),
    "member.never": (
        "no connection since this node started ({problem}, {address})",
        "自本节点启动以来没有连接（{problem}，{address}）",
    ),
    "member.lost": (
        "no connection for {age} ({problem}, {address})",
        "已断开 {age}（{problem}，{address}）",
    ),
    "member.seen": ("view {view}, height {height}", "视图 {view}，高度 {height}"),
    "member.last_seen": ("last seen in view {view}, height {height}", "最后所见：视图 {view}，高度 {height}"),
    "member.unseen": ("not seen yet", "尚未见到"),
    # what to do
    "next.nothing": (
        "Nothing to do: a block is made as soon as a transaction arrives.",
        "无需处理：一旦有交易到达就会出块。",
    ),
    "next.wait_timer": (
        "Wait for the timer; the members then change the leader by themselves.",
        "等待计时器结束；成员会自行更换主节点。",
    ),
    "next.alone": (
        "Nobody is reachable from here: look at the network of this machine first, then run `hansa doctor`.",
        "从此处无法连到任何成员：请先检查本机网络，再运行 `hansa doctor`。",
    ),
    "next.heal": (
        "The links were cut on purpose, in a local cluster: `hansa cluster heal` mends them.",
        "这些链路是在本地集群中有意切断的：`hansa cluster heal` 可恢复。",
    ),
    "next.gathering": (
        "Wait: the members that are behind follow within seconds. If they do not, look at their nodes: {names}.",
        "请等待：落后的成员会在数秒内跟上。若没有，请检查其节点：{names}。",
    ),
    "next.votes": (
        "Wait: votes arrive within moments, or the members change the leader by themselves.",
        "请等待：投票很快到达，否则成员会自行更换主节点。",
    ),
    "next.refused": (
        "Wait: if enough members refuse it, they change the leader by themselves. If this node alone refuses blocks, "
        "run `hansa doctor` here.",
        "请等待：若有足够多的成员拒绝，成员会自行更换主节点。若只有本节点拒绝区块，请在此处运行 `hansa doctor`。",
    ),
    "next.execution": (
        "Wait until this node has computed the results. If it lasts, give the machine more processor time.",
        "请等待本节点算出结果。若持续如此，请为该机器分配更多处理器时间。",
    ),
    "next.behind": (
        "Wait until this node has caught up; others go on meanwhile.",
        "请等待本节点追上；其他成员此间继续工作。",
    ),
    "next.stuck": (
        "`hansa node peers` says what the others did not show. If they no longer hold those blocks, this node needs "
        "their state: see that `storage.sync_replay_blocks` is not 0 here, and `storage.snapshot_every` not 0 there.",
        "`hansa node peers` 显示其他成员未能提供的内容。如果它们已不再保存这些区块，本节点需要它们的状态："
        "请确认本节点的 `storage.sync_replay_blocks` 和其他成员的 `storage.snapshot_every` 都不为 0。",
    ),
    "next.guest": (
        "`hansa company proposals` shows what the others agreed to; `hansa company ready` when this node is admitted.",
        "`hansa company proposals` 显示其他成员同意的内容；本节点被接纳后执行 `hansa company ready`。",
    ),
    "next.gone": ("Nothing to do here; keep the data as your books require.", "此处无需处理；请按账务要求保留数据。"),
    "next.key_missing": (
        "Put that key into the keystore of this node, then restart it.",
        "请将该密钥放入本节点的密钥库，然后重启节点。",
    ),
    "next.start.one": (
        "Start the node of {names}, or run `hansa doctor` there.",
        "请启动 {names} 的节点，或在该处运行 `hansa doctor`。",
    ),
    "next.start_some": (
        "Start the nodes of {names}, or run `hansa doctor` there. {missing} of them are enough.",
        "请启动 {names} 的节点，或在该处运行 `hansa doctor`。其中 {missing} 个即可。",
    ),
    "next.start_some.one": (
        "Start the nodes of {names}, or run `hansa doctor` there. One of them is enough.",
        "请启动 {names} 的节点，或在该处运行 `hansa doctor`。其中一个即可。",
    ),
    "next.start_all": (
        "Start the nodes of {names}, or run `hansa doctor` there. All of them are needed.",
        "请启动 {names} 的节点，或在该处运行 `hansa doctor`。全部都需要。",
    ),
    "next.learner": (
        "Wait until this node has caught up. If it lost its data, its consensus key must be replaced.",
        "请等待本节点追上。如果数据已丢失，必须更换其共识密钥。",
    ),
    "next.silenced": (
        "Put no other copy of the data back and look for a second node with this key. The company votes again only "
        "with a new consensus key.",
        "请勿再恢复其他数据副本，并检查是否有第二个节点使用同一密钥。该公司只有换用新的共识密钥后才能再次投票。",
    ),
    "next.voteless": (
        "{step} {names} follow without a vote: `hansa node why` there says why. A company whose journal is lost asks "
        "for a new consensus key with `hansa company rotate` there; it counts once the others have agreed in a block.",
        "{step}{names} 只跟随、不投票：在该处运行 `hansa node why` 可知原因。"
        "丢失日志的公司须在该处执行 `hansa company rotate` 申请新的共识密钥；其他成员在区块中同意后才生效。",
    ),
    "next.voteless.one": (
        "{step} {names} follows without a vote: `hansa node why` there says why. If its journal is lost, "
        "`hansa company rotate` there asks for a new consensus key; it counts once the others have agreed in a block.",
        "{step}{names} 只跟随、不投票：在该处运行 `hansa node why` 可知原因。"
        "如果日志已丢失，须在该处执行 `hansa company rotate` 申请新的共识密钥；其他成员在区块中同意后才生效。",
    ),
    "next.halted": (
        "Keep the data directory as it is, and compare the two values in the log with another company's node.",
        "请保持数据目录原样，并将日志中的两个值与另一家公司的节点比较。",
    ),
    # why a block was refused, as the rules of consensus say it (consensus.normal, consensus.validate)
    "refusal.invalid_block": (
        "a transaction or a piece of evidence in it is not valid",
        "其中有无效的交易或证据",
    ),
    "refusal.wrong_exec_root": (
        "it states another result of earlier blocks than this node computed",
        "其中先前区块的结果与本节点算出的不同",
    ),
    "refusal.wrong_next_members": (
        "it names other members for the next epoch",
        "其中下一期的成员与本节点所知的不同",
    ),
    "refusal.not_the_reproposal": (
        "it is not the block that the new view must repeat",
        "它不是新视图必须重复的区块",
    ),
    "refusal.time_out_of_bounds": (
        "its time is too far from the clock of this node",
        "其时间与本节点的时钟相差过大",
    ),
    "refusal.time_not_increasing": (
        "its time is not after that of the block before",
        "其时间不晚于前一区块的时间",
    ),
    "refusal.wrong_parent": ("it does not follow the last block", "它没有接在上一区块之后"),
    "refusal.wrong_last_certificate": (
        "it carries the certificate of another block",
        "它所带的证书属于另一区块",
    ),
    "refusal.wrong_last_certificate_height": (
        "it carries the certificate of a wrong height",
        "它所带证书的高度不正确",
    ),
    "refusal.wrong_exec_height": (
        "it states a result of a wrong height",
        "它所述结果的高度不正确",
    ),
    "refusal.wrong_proposer": ("another member than its sender made it", "制作它的成员不是其发送者"),
    "refusal.unknown_proposer": ("no member made it", "它不是由成员制作的"),
    "refusal.wrong_version": ("it is of another version of the protocol", "其协议版本不同"),
    "refusal.wrong_chain": ("it is of another chain", "它属于另一条链"),
    "refusal.wrong_members": ("it is of another set of members", "它属于另一组成员"),
    "refusal.wrong_parameters": ("it is of other parameters of the network", "其网络参数不同"),
    "refusal.too_large": ("it is too large", "它过大"),
    "and": ("{left} and {right}", "{left} 和 {right}"),
    "list": ("{left}, {right}", "{left}、{right}"),
    "problem.unknown": ("no reason known", "原因未知"),
    # as the transport says it (node.transport.link, node.transport.peers)
    "problem.timed out": ("timed out", "超时"),
    "problem.connection refused": ("connection refused", "连接被拒绝"),
    "problem.not connected yet": ("not connected yet", "尚未连接"),
    "problem.it closed the link": ("it closed the link", "对方关闭了链路"),
    "problem.it closed the connection": ("it closed the connection", "对方关闭了连接"),
    "problem.it refused us": ("it refused us", "对方拒绝了本节点"),
    "problem.cut by a fault": ("cut by a fault", "被注入的故障切断"),
    "problem.replaced by a newer link": ("replaced by a newer link", "已被较新的链路取代"),
    "problem.its host name does not resolve": ("its host name does not resolve", "无法解析其主机名"),
    "problem.its address is unknown; set it with peers.addresses": (
        "its address is unknown; set it with peers.addresses",
        "地址未知；请用 peers.addresses 设置",
    ),
    "problem.its certificate or ours is not registered at the other end": (
        "its certificate or ours is not registered at the other end",
        "对方或本方的证书未在另一端登记",
    ),
    "problem.its TLS key is not registered, or it is kept out for a while": (
        "its TLS key is not registered, or it is kept out for a while",
        "其 TLS 密钥未登记，或暂时被拒之门外",
    ),
    "problem.its TLS key is not registered any more": (
        "its TLS key is not registered any more",
        "其 TLS 密钥已不再登记",
    ),
    "problem.its node has no place on the network any more": (
        "its node has no place on the network any more",
        "其节点已不属于本网络",
    ),
    "problem.this node stops": ("this node stops", "本节点正在停止"),
    "age.seconds": ("{count} s", "{count} 秒"),
    "age.minutes": ("{count} min", "{count} 分钟"),
    "age.hours": ("{count} h", "{count} 小时"),
    "age.days": ("{count} days", "{count} 天"),
}


class UnknownSentence(KeyError):
    """A template id that is not in the table: our bug."""


def say(key: str, lang: str, **parts: object) -> str:
    """Return template `key` in `lang` (any other language reads English) with its named parts filled in."""
    try:
        row = _T[key]
    except KeyError:
        raise UnknownSentence(key) from None
    return row[1 if lang == "zh-CN" else 0].format_map(parts)


def template_ids() -> tuple[str, ...]:
    """Return all ids, sorted: the tests compare the named parts of both languages."""
    return tuple(sorted(_T))


def templates(key: str) -> tuple[str, str]:
    """Return the English and the Chinese template."""
    return _T[key]


def age(milliseconds: int, lang: str) -> str:
    """Return a short duration: 48 s, 3 min, 2 h, 5 days.

    >>> age(48_900, "en"), age(200_000, "en"), age(7_300_000, "zh-CN")
    ('48 s', '3 min', '2 小时')
    """
    seconds = max(0, milliseconds) // 1000
    if seconds < 120:
        return say("age.seconds", lang, count=seconds)
    if seconds < 7_200:
        return say("age.minutes", lang, count=seconds // 60)
    if seconds < 172_800:
        return say("age.hours", lang, count=seconds // 3_600)
    return say("age.days", lang, count=seconds // 86_400)


def name_list(names: Sequence[str], lang: str) -> str:
    """Return names as a list that reads well: "a", "a and b", "a, b and c"."""
    if not names:
        return ""
    text = names[0]
    for name in names[1:-1]:
        text = say("list", lang, left=text, right=name)
    if len(names) > 1:
        text = say("and", lang, left=text, right=names[-1])
    return text


# -- somebody who sees every node (C18-C20)


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkFacts:
    """What a supervisor knows. Indexes are member indexes; `cut` holds unordered pairs without a two-way link."""

    names: tuple[str, ...]
    up: frozenset[int]
    """Running and answering; a paused node is not."""
    cut: frozenset[tuple[int, int]] = frozenset()
    lying: frozenset[int] = frozenset()
    silent_primary: bool = False
    """The primary was stopped or paused and the others have not changed the view yet."""
    height: int = 0
    change_after_ms: int = 2_000
    heal: str = ""
    """The command that mends the partition, if the supervisor made one."""

    def linked(self, left: int, right: int) -> bool:
        return left == right or (min(left, right), max(left, right)) not in self.cut


def able(facts: NetworkFacts) -> int:
    """Return how many live nodes have working links to at least q live members, themselves included (C18)."""
    need = quorum(len(facts.names))
    return sum(1 for one in facts.up if sum(1 for other in facts.up if facts.linked(one, other)) >= need)


def blocks_expected(facts: NetworkFacts) -> bool:
    """Tell whether new blocks are to be expected (C18): what the sentence predicts and a network then shows."""
    n = len(facts.names)
    honest = NetworkFacts(names=facts.names, up=facts.up - facts.lying, cut=facts.cut)
    return len(facts.lying) <= faults(n) and able(honest) >= quorum(n)


def network_sentence(facts: NetworkFacts, lang: str) -> str:
    """Return the one sentence about a whole network after a fault (C18, C20)."""
    n = len(facts.names)
    f, q, up = faults(n), quorum(n), len(facts.up)
    lying = len(facts.lying & facts.up)
    if lying > f:
        return say(_counted("net.too_many_lies", f), lang, lying=lying, f=f)
    if not facts.up:
        return say("net.none", lang, n=n, q=q)
    if lying and blocks_expected(facts):
        return say(_counted("net.lying", lying), lang, lying=lying, f=f)
    if lying and up >= q:
        return say("net.lying_stopped", lang, lying=lying, honest=up - lying, q=q)
    if up < q:
        missing = q - up
        return say(_counted("net.stopped", missing), lang, up=up, n=n, q=q, height=facts.height, missing=missing)
    groups = _groups(facts)
    if able(facts) < q:
        largest = max(len(group) for group in groups)
        key = "net.even_split" if len(groups) == 2 and len(groups[0]) == len(groups[1]) else "net.split"
        return say(key, lang, side=largest, n=n, q=q, heal=facts.heal).rstrip()
    if facts.silent_primary:
        return say("net.silent_leader", lang, seconds=max(1, round(facts.change_after_ms / 1000)))
    outside = [member for member in sorted(facts.up) if not _reaches(facts, member, q)]
    if outside:
        names = name_list([facts.names[member] for member in outside], lang)
        key = _counted("net.minority", len(outside))
        return say(key, lang, able=able(facts), n=n, names=names, height=facts.height)
    if f == 0:
        return say("net.no_tolerance" if up == q else "net.no_lies", lang, up=up, n=n, q=q)
    if up == q:
        return say("net.tight", lang, up=up, n=n, q=q)
    return say(_counted("net.all_up", up - q), lang, up=up, n=n, q=q, spare=up - q)


def _counted(key: str, count: int) -> str:
    return f"{key}.one" if count == 1 and f"{key}.one" in _T else key


def _reaches(facts: NetworkFacts, member: int, need: int) -> bool:
    return sum(1 for other in facts.up if facts.linked(member, other)) >= need


def _groups(facts: NetworkFacts) -> list[list[int]]:
    """Return the groups of live nodes that can reach each other, directly or over others; largest first."""
    left, groups = sorted(facts.up), []
    while left:
        group, edge = [left[0]], [left[0]]
        while edge:
            here = edge.pop()
            for other in left:
                if other not in group and facts.linked(here, other):
                    group.append(other)
                    edge.append(other)
        left = [member for member in left if member not in group]
        groups.append(sorted(group))
    return sorted(groups, key=len, reverse=True)


# -- one node, about its own links (U21)


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberLine:
    """One line of the why answer: what this node knows about one member."""

    company_id: str
    name: str
    connected: bool
    votes: bool
    link: str
    seen: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """The whole answer. `headline` alone is what status lines and the dashboard show."""

    headline: str
    flowing: bool
    members: tuple[MemberLine, ...]
    state: str
    next: str


CUT: Final = "cut by a fault"
"""What the transport says of a link that the supervisor of a local cluster cut."""
LATE_MS: Final = 10_000
"""From here on a waiting transaction without a block is worth a sentence of its own."""


def node_sentence(status: ConsensusStatus, names: Mapping[str, str], lang: str) -> str:
    """Return the first sentence of `why`: the quorum as this node sees it, and whether its company is shut out."""
    sentence = _quorum_sentence(status, names, lang)
    voteless = len(_voteless(status, names))
    if voteless:  # their names are in the whole answer: this sentence is shown to everybody
        sentence = say(_counted("node.voteless", voteless), lang, sentence=sentence, count=voteless)
    if status.own_status == "suspended":
        return say("node.suspended", lang, sentence=sentence, me=_own_name(status, names))
    return sentence


def _quorum_sentence(status: ConsensusStatus, names: Mapping[str, str], lang: str) -> str:
    n = len(status.members)
    q, reachable = quorum(n), reachable_members(status)
    me = _own_name(status, names)
    parts = {"reachable": reachable, "n": n, "q": q, "me": me}
    if status.mode == "halted":
        return say("node.halted", lang, me=me, reason=status.halt_reason or "?")
    if status.mode == "learner":
        if status.vote_problem:
            return say("node.silenced", lang, me=me, height=status.height, reason=status.vote_problem)
        if behind(status):
            return say("node.stuck", lang, height=status.height, top=_top(status), **parts)
        if _is_guest(status):
            return say("node.guest", lang, me=me, height=status.height, epoch=status.epoch)
        return say("node.learner", lang, me=me, height=status.height)
    since = status.wall_ms - status.last_block_ms
    if reachable < q:
        if not status.last_block_ms:
            return say("node.stopped_fresh", lang, **parts)
        return say("node.stopped", lang, age=age(since, lang), **parts)
    if behind(status):
        return say("node.stuck", lang, height=status.height, top=_top(status), **parts)
    if status.mode == "changing":
        here = _in_target(status)
        if here < q:
            return say("node.forming", lang, here=here, target=status.view, **parts)
        return say("node.changing", lang, target=status.view, **parts)
    if status.syncing and (top := _top(status)) > status.height:
        return say("node.behind", lang, height=status.height, top=top, **parts)
    if _late(status):
        return say("node.late", lang, age=age(since, lang), **parts)
    if not faults(n):
        return say("node.no_tolerance" if reachable == q else "node.no_lies", lang, **parts)
    if reachable == q:
        return say("node.tight", lang, **parts)
    return say(_counted("node.fine", reachable - q), lang, spare=reachable - q, **parts)


def why(status: ConsensusStatus, names: Mapping[str, str], lang: str) -> Why:
    """Return who is missing, where everybody stands, which timer runs, what waits and what to do (U21)."""
    n = len(status.members)
    q, reachable = quorum(n), reachable_members(status)
    return Why(
        headline=node_sentence(status, names, lang),
        flowing=reachable >= q and status.mode == "normal" and not (status.syncing or behind(status)),
        members=tuple(_member_line(member, status, names, lang) for member in status.members),
        state=_state_line(status, names, lang, reachable, q),
        next=_advice(status, names, lang, reachable, q),
    )


def reachable_members(status: ConsensusStatus) -> int:
    """Return how many members can decide as far as this node sees: reachable, not silent, and with a vote.

    This node counts itself if it votes. One that follows without a vote is linked, and brings no block about.
    """
    return sum(1 for member in status.members if able_to_vote(member, status))


def stalled(status: ConsensusStatus) -> bool:
    """Tell whether no blocks can be expected, or those that are due do not come: people then want the whole answer.

    A node without a vote, or one that catches up, says so itself; it only matters whether the others can decide. One
    that is behind and does not catch up needs help.
    """
    if reachable_members(status) < quorum(len(status.members)) or status.mode == "halted" or behind(status):
        return True
    return status.mode == "changing" or (status.mode == "normal" and _late(status))


def behind(status: ConsensusStatus) -> bool:
    """Tell whether this node stands so far below the others that agreement brings it no block, and fetches none (P106).

    That is no passing state: they do not hold what it lacks, or do not show it.
    """
    return not status.syncing and _top(status) > status.height + status.near


def _late(status: ConsensusStatus) -> bool:
    """Tell whether a transaction waits and no block came for longer than an undisturbed network takes."""
    since = status.wall_ms - status.last_block_ms
    return status.oldest_waiting_ms > LATE_MS and bool(status.last_block_ms) and since > LATE_MS


def able_to_vote(member: MemberStatus, status: ConsensusStatus) -> bool:
    """Tell whether a member votes and its votes reach this node."""
    return _votes(member) and linked(member, status)


def linked(member: MemberStatus, status: ConsensusStatus) -> bool:
    """Tell whether a member is heard: the link is up and it is not silent, whether it votes or not."""
    return member.is_self or (member.connected and not _silent(member, status))


def _votes(member: MemberStatus) -> bool:
    """Tell whether a member votes; what it has not said yet is not held against it."""
    return member.mode not in ("learner", "halted")


def _voteless(status: ConsensusStatus, names: Mapping[str, str]) -> list[str]:
    """Return the names of the others that are linked without a vote; one that does not vote itself says so first."""
    if status.mode not in ("normal", "changing"):
        return []
    return [
        names.get(member.company_id, member.company_id)
        for member in status.members
        if not member.is_self and member.connected and not _silent(member, status) and not _votes(member)
    ]


def _silent(member: MemberStatus, status: ConsensusStatus) -> bool:
    """Tell whether a link is up and nothing came over it for long: the process hangs, or the way is one-sided."""
    return member.last_heard_ms > 0 and status.wall_ms - member.last_heard_ms > status.silent_after_ms


def _in_target(status: ConsensusStatus) -> int:
    """Return how many members are in the view that is being opened, as far as this node heard."""
    return sum(1 for member in status.members if member.view >= status.view)


def _top(status: ConsensusStatus) -> int:
    """Return the height that f+1 of the members that are heard stand at, so a correct one among them; else the own."""
    heights = sorted((member.height for member in status.members if linked(member, status)), reverse=True)
    f = faults(len(status.members))
    return max(heights[f], status.height) if f < len(heights) else status.height


def _is_guest(status: ConsensusStatus) -> bool:
    """Tell whether the company of this node has no seat in this epoch."""
    return bool(status.own_company) and all(member.company_id != status.own_company for member in status.members)


def _own_name(status: ConsensusStatus, names: Mapping[str, str]) -> str:
    own = status.own_company or next((member.company_id for member in status.members if member.is_self), "")
    return names.get(own, own) or "this node"


def _member_line(member: MemberStatus, status: ConsensusStatus, names: Mapping[str, str], lang: str) -> MemberLine:
    if member.is_self:
        link = say("member.self", lang)
    elif member.connected and _silent(member, status):
        link = say("member.silent", lang, age=age(status.wall_ms - member.last_heard_ms, lang))
    elif member.connected:
        link = say("member.up" if _votes(member) else "member.voteless", lang)
    else:
        problem = _problem(member.problem, lang)
        address = member.address or "?"
        if member.last_heard_ms:
            silent = age(status.wall_ms - member.last_heard_ms, lang)
            link = say("member.lost", lang, age=silent, problem=problem, address=address)
        else:
            link = say("member.never", lang, problem=problem, address=address)
    if not member.is_self and not member.last_heard_ms:
        seen = say("member.unseen", lang)
    else:
        key = "member.seen" if member.connected or member.is_self else "member.last_seen"
        seen = say(key, lang, view=member.view, height=member.height)
    return MemberLine(
        company_id=member.company_id,
        name=names.get(member.company_id, member.company_id),
        connected=member.connected or member.is_self,
        votes=_votes(member),
        link=link,
        seen=seen,
    )


def _problem(text: str, lang: str) -> str:
    """Return why a link is down. What names a node or an error of TLS stays as the transport says it."""
    key = f"problem.{text}"
    if key in _T:
        return say(key, lang)
    return text or say("problem.unknown", lang)


def _state_line(status: ConsensusStatus, names: Mapping[str, str], lang: str, reachable: int, q: int) -> str:
    if status.mode == "halted":
        return say("state.halted", lang, reason=status.halt_reason or "?")
    waiting = _waiting(status, lang)
    if status.mode == "learner":
        if status.vote_problem:
            key = "state.key_missing" if status.key_missing else "state.silenced"
            return say(key, lang, reason=status.vote_problem, waiting=waiting)
        if _is_guest(status):
            known = {"": "state.guest", "left": "state.gone", "expelled": "state.gone"}
            return say(known.get(status.own_status, "state.admitted"), lang, waiting=waiting)
        return say("state.learner", lang, waiting=waiting)
    timer = _timer(status, lang, reachable, q)
    if status.mode == "changing":
        return say("state.changing", lang, target=status.view, timer=timer, waiting=waiting)
    leader = status.members[status.primary].company_id if 0 <= status.primary < len(status.members) else "?"
    return say(
        "state.normal",
        lang,
        view=status.view,
        leader=names.get(leader, leader),
        next=status.height + 1,
        phase=say(_phase(status), lang, reason=_refusal(status.refusal, lang)),
        timer=timer[:1].upper() + timer[1:],
        waiting=waiting,
    )


def _phase(status: ConsensusStatus) -> str:
    key = f"phase.{status.waiting_for.removesuffix('_lag')}"
    return key if key in _T else "phase.nothing"


def _refusal(word: str, lang: str) -> str:
    """Return why a block was refused; a word that has no sentence yet stands for itself."""
    key = f"refusal.{word}"
    return say(key, lang) if key in _T else word


def _timer(status: ConsensusStatus, lang: str, reachable: int, q: int) -> str:
    if status.timer:
        rest = status.timer_ends_ms - status.wall_ms
        if rest <= 0:
            return say("timer.due", lang, name=status.timer)
        left = age(rest + 999, lang)
        if status.mode == "normal" and not status.waiting and status.phase == "idle":
            return say("timer.watch", lang, rest=left)
        known = f"timer.{status.timer}"
        return say(known if known in _T else "timer.runs", lang, name=status.timer, rest=left)
    if reachable < q:
        return say("timer.no_quorum", lang, reachable=reachable, q=q)
    if status.mode == "changing":
        return say("timer.gathering" if _in_target(status) < q else "timer.none", lang, q=q)
    return say("timer.none" if status.waiting else "timer.idle", lang)


def _waiting(status: ConsensusStatus, lang: str) -> str:
    if not status.waiting:
        return say("waiting.none", lang)
    key = "waiting.one" if status.waiting == 1 else "waiting"
    return say(key, lang, waiting=status.waiting, oldest=age(status.oldest_waiting_ms, lang))


def _advice(status: ConsensusStatus, names: Mapping[str, str], lang: str, reachable: int, q: int) -> str:
    """Return the next step, and that of members without a vote: a network may miss them long after it goes on."""
    step = _next_step(status, names, lang, reachable, q)
    voteless = _voteless(status, names)
    if not voteless:
        return step
    if step == say("next.nothing", lang):
        step = ""
    key = _counted("next.voteless", len(voteless))
    return say(key, lang, step=step, names=name_list(voteless, lang)).lstrip()


def _next_step(status: ConsensusStatus, names: Mapping[str, str], lang: str, reachable: int, q: int) -> str:
    if status.mode == "halted":
        return say("next.halted", lang)
    if status.mode == "learner" and status.vote_problem:
        return say("next.key_missing" if status.key_missing else "next.silenced", lang)
    if behind(status) and (reachable >= q or status.mode == "learner"):
        return say("next.stuck", lang)
    if status.mode == "learner" and _is_guest(status):
        return say("next.gone" if status.own_status in ("left", "expelled") else "next.guest", lang)
    missing = q - reachable
    away = [
        names.get(m.company_id, m.company_id)
        for m in status.members
        if not m.is_self and (not m.connected or _silent(m, status))
    ]
    if missing > 0 and 0 < len(away) == sum(1 for m in status.members if not m.is_self):
        return say("next.alone", lang)
    if missing > 0 and away:
        listed = name_list(away, lang)
        if all(m.problem == CUT for m in status.members if not m.is_self and not m.connected) and not any(
            m.connected and _silent(m, status) for m in status.members
        ):
            return say("next.heal", lang)
        if len(away) == 1:
            return say("next.start.one", lang, names=listed)
        if missing < len(away):
            return say(_counted("next.start_some", missing), lang, names=listed, missing=missing)
        return say("next.start_all", lang, names=listed)
    if status.mode == "learner":
        return say("next.learner", lang)
    if missing > 0:
        return ""  # everybody is here, and what those without a vote have to do follows
    if status.mode == "changing" and _in_target(status) < q:
        late = [m for m in status.members if not m.is_self and m.view < status.view]
        return say("next.gathering", lang, names=name_list([names.get(m.company_id, m.company_id) for m in late], lang))
    if status.syncing and _top(status) > status.height:
        return say("next.behind", lang)
    if status.mode == "normal" and status.waiting_for == "refused":
        return say("next.refused", lang)
    if status.mode == "changing" or (status.timer and status.waiting):
        return say("next.wait_timer", lang)
    if status.waiting_for in ("execution", "execution_lag"):
        return say("next.execution", lang)
    if status.waiting_for in ("votes", "bodies", "echo", "sync", "proposal"):
        return say("next.votes", lang)
    return say("next.nothing", lang)
