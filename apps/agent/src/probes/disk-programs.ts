// SPDX-License-Identifier: Apache-2.0
import type { KernelBtf } from "../kernel/kernel-btf.ts";
import type { ProgramDecision, ProgramPlan } from "./program-plan.ts";

/** BLK_STS_ZONE_OPEN_RESOURCE (include/linux/blk_types.h) and, with it, what comes behind it; 6.10 took one out in front of them. */
const ZONE_OPEN_STATUS_BEFORE = 15;
const ZONE_OPEN_STATUS = 14;
/** RQF_FLUSH_SEQ (include/linux/blk-mq.h) before it became one of an enumeration. */
const FLUSH_SEQUENCE_FLAG_BEFORE = 1 << 4;

function decideComplete(kernel: Pick<KernelBtf, "tracepointArguments" | "enumerator" | "hasField">): ProgramDecision {
  const [request, status, bytes] = kernel.tracepointArguments("block_rq_complete") ?? [];
  if (request !== "struct request *" || bytes === undefined) return { unsupported: "block_rq_complete has other arguments in this kernel" };
  // The enumeration has no name on 6.12, and one on 6.18.
  const flushStep = kernel.enumerator("__RQF_FLUSH_SEQ");
  return {
    constants: {
      status_is_errno: status === "int" ? 1 : 0,
      // Both came at about the same time (6.10 and 6.11), and only the later one leaves a trace in BTF on every build.
      zone_open_status: kernel.hasField("queue_limits", "features") ? ZONE_OPEN_STATUS : ZONE_OPEN_STATUS_BEFORE,
      flush_sequence_flag: flushStep === null ? FLUSH_SEQUENCE_FLAG_BEFORE : 1 << flushStep,
    },
  };
}

/** Programs of the disk family. */
export const diskPrograms: readonly ProgramPlan[] = [
  { name: "on_block_rq_complete", object: "block", hook: "tp_btf/block_rq_complete", tracepoint: "block_rq_complete", decide: decideComplete },
];
