// SPDX-License-Identifier: Apache-2.0

/** Object files that `make -C packages/bpf` leaves in `packages/bpf/build`; the agent's packages carry the same files. */
export const objectFiles = [
  "block.bpf.o",
  "dns.bpf.o",
  "oom.bpf.o",
  "packet_drop.bpf.o",
  "sched.bpf.o",
  "socket_buffer.bpf.o",
  "softirq.bpf.o",
  "syscall.bpf.o",
  "task.bpf.o",
  "tcp_congestion.bpf.o",
  "tcp_connection.bpf.o",
  "tcp_reset.bpf.o",
  "tcp_retransmit.bpf.o",
  "profile.bpf.o",
] as const;
