// SPDX-License-Identifier: Apache-2.0
import type { KernelBtf } from "../kernel/kernel-btf.ts";
import type { ProgramDecision, ProgramPlan } from "./program-plan.ts";

const NO_RESET_REASONS = "this kernel says no reasons for resets, and traces none that is sent where there is no connection (both since Linux 6.10)";

/** tcp_send_reset(sk, skb), and since 6.10 the reason; from then on it fires without a socket too. */
function decideSendReset(kernel: Pick<KernelBtf, "tracepointArguments">): ProgramDecision {
  const [socket, segment, reason] = kernel.tracepointArguments("tcp_send_reset") ?? [];
  if (socket !== "struct sock *" || segment !== "struct sk_buff *") return { unsupported: "tcp_send_reset has other arguments in this kernel" };
  if (reason === "enum sk_rst_reason") return { constants: { has_reset_reason: 1 } };
  return { constants: { has_reset_reason: 0 }, signals: { tcp_resets: { state: "fallback", reason: NO_RESET_REASONS } } };
}

/** Programs of the tcp family beyond connections and retransmissions. */
export const tcpPrograms: readonly ProgramPlan[] = [
  { name: "on_tcp_send_reset", object: "tcp_reset", hook: "tp_btf/tcp_send_reset", tracepoint: "tcp_send_reset", decide: decideSendReset },
  { name: "on_tcp_receive_reset", object: "tcp_reset", hook: "tp_btf/tcp_receive_reset", tracepoint: "tcp_receive_reset" },
  {
    name: "on_tcp_cong_state_set",
    object: "tcp_congestion",
    hook: "tp_btf/tcp_cong_state_set",
    tracepoint: "tcp_cong_state_set",
    without: "states are read once per window, how often they were entered is not counted",
  },
  { name: "on_udp_fail_queue_rcv_skb", object: "socket_buffer", hook: "tp_btf/udp_fail_queue_rcv_skb", tracepoint: "udp_fail_queue_rcv_skb" },
  {
    name: "on_sock_rcvqueue_full",
    object: "socket_buffer",
    hook: "tp_btf/sock_rcvqueue_full",
    tracepoint: "sock_rcvqueue_full",
    without: "full queues of raw sockets are not counted",
  },
  {
    name: "on_sock_exceed_buf_limit",
    object: "socket_buffer",
    hook: "tp_btf/sock_exceed_buf_limit",
    tracepoint: "sock_exceed_buf_limit",
    without: "protocol-wide memory limits that were reached are not counted",
  },
];
