// SPDX-License-Identifier: Apache-2.0
import { readdirSync, readFileSync } from "node:fs";

/**
 * Time that threads of the init process have run, in ns, since they started.
 *
 * A kernel may keep BPF programs off its init process: on 6.18 of a hosted micro-VM no program runs while a thread of PID 1 is the current task,
 * neither for what that thread does nor for interrupts that arrive on its CPU meanwhile; nothing counts these misses (recursion_misses stays 0).
 * Seen with a recorder of a few lines for sched_switch, irq_handler_entry and block_rq_complete: 104 switches to such threads and no event of any kind
 * with one of them as the current task among 1,959,958; 60,397 of 60,540 reads of a loop device were seen to complete, the other 143 while such a thread
 * had the CPU that takes the disk's interrupts. Of 14,720 sleeps of known number, beside six processes that want the two CPUs, 18 were missing from `off_cpu`, as a wait ends
 * at a switch: each in an interval of half a second in which init had run, none in the others, and as many when waits of a microsecond counted too.
 */
export function initRanNs(): bigint {
  let ranNs = 0n;
  for (const thread of readdirSync("/proc/1/task")) {
    try {
      ranNs += BigInt(readFileSync(`/proc/1/task/${thread}/schedstat`, "utf8").split(" ", 1)[0] as string);
    } catch {
      // It has ended since it was listed.
    }
  }
  return ranNs;
}
