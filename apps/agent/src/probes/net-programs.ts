// SPDX-License-Identifier: Apache-2.0
import type { KernelBtf } from "../kernel/kernel-btf.ts";
import { type ProgramDecision, type ProgramPlan, RUN_BY_AGENT } from "./program-plan.ts";

const NO_DROP_REASONS = "this kernel does not say why it drops packets (added in Linux 5.17)";
const NO_RX_SOCKETS = "this kernel does not say whose socket could not take a packet, so who was to receive it is not known (added in Linux 6.11)";

/** kfree_skb(skb, location), and since 5.17 its reason, and since 6.11 the receiving socket; distributions have carried them back. */
function decideDrops(kernel: Pick<KernelBtf, "tracepointArguments" | "enumeration">): ProgramDecision {
  const [skb, , reason, socket] = kernel.tracepointArguments("kfree_skb") ?? [];
  if (skb !== "struct sk_buff *") return { unsupported: "kfree_skb has other arguments in this kernel" };
  const reasons = kernel.enumeration("skb_drop_reason");
  const hasReason = reason === "enum skb_drop_reason" && reasons !== null;
  const reasonValue = (name: string): number | undefined => [...(reasons ?? [])].find(([, text]) => text === name)?.[0];
  const notDropped = reasonValue("SKB_NOT_DROPPED_YET") ?? 0;
  const hasSocket = socket === "struct sock *";
  const lacks = [...(hasReason ? [] : [NO_DROP_REASONS]), ...(hasSocket ? [] : [NO_RX_SOCKETS])];
  return {
    constants: {
      has_drop_reason: hasReason ? 1 : 0,
      has_rx_socket: hasSocket ? 1 : 0,
      reason_not_dropped: notDropped,
      reason_consumed: reasonValue("SKB_CONSUMED") ?? notDropped,
    },
    ...(lacks.length === 0 ? {} : { signals: { packet_drops: { state: "fallback" as const, reason: lacks.join("; ") } } }),
  };
}

/** Queries that nobody answers end by a walk over those under way. */
function decideTimeouts(kernel: Pick<KernelBtf, "hasHelper">): ProgramDecision {
  return kernel.hasHelper("for_each_map_elem") ? {} : { unsupported: "this kernel's programs cannot walk over a map (since Linux 5.13)" };
}

/** Programs of the net family. */
export const netPrograms: readonly ProgramPlan[] = [
  { name: "on_kfree_skb", object: "packet_drop", hook: "tp_btf/kfree_skb", tracepoint: "kfree_skb", decide: decideDrops },
  { name: "on_dns_timeouts", object: "dns", hook: RUN_BY_AGENT, tracepoint: null, attach: "run", decide: decideTimeouts },
  { name: "on_softirq_entry", object: "softirq", hook: "tp_btf/softirq_entry", tracepoint: "softirq_entry" },
  { name: "on_softirq_raise", object: "softirq", hook: "tp_btf/softirq_raise", tracepoint: "softirq_raise" },
];
