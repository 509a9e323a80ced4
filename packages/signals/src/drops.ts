// SPDX-License-Identifier: Apache-2.0

/** Why something could not be kept, by the word that stands in `agent_drops.cause`. */
export const dropCauses = {
  full: "The map or registry had no room.",
  no_memory: "The kernel had no memory for what is kept of each task or socket.",
  unseen: "No hook sees what was needed (io_uring).",
  recursion: "The kernel skipped a run of the program, as one was under way on that CPU already.",
  unregistered: "Events under a process whose name never arrived.",
  row_cap:
    "Rows beyond what one signal may have in a window: small ones gave up dimensions (first which file, name or peer, last who) and are part of others.",
  frame_cap: "Rows that would have made the frame larger than the API takes.",
  byte_cap:
    "Stacks whose frames had no room among the bytes that a window gives them: those of this window that read `[unknown stack]` until their frames come with a later one of the hour (`merged`), and those whose frames do not come any more in it unless they are met again (`lost`).",
  spool: "Windows that were given up or became unreadable while they waited.",
  coarsened: "Windows that were merged into longer ones while they waited.",
} as const;
export type DropCause = keyof typeof dropCauses;

/** `lost`: it is in no row. `merged`: it is counted, under `~other` in one dimension or all, an unknown owner or a longer window: totals hold, dimensions do not. */
export type DropOutcome = "lost" | "merged";

export interface Drop {
  /** The map, registry, program or queue. */
  readonly place: string;
  readonly cause: DropCause;
  readonly outcome: DropOutcome;
}

/** Reasons that are no signal's own map: fields of `struct drops` (packages/bpf/include/drops.bpf.h), and what the agent counts itself. */
const dictionary: Readonly<Record<string, Drop>> = {
  task_storage: { place: "task_states", cause: "no_memory", outcome: "merged" },
  sk_storage: { place: "socket_states", cause: "no_memory", outcome: "lost" },
  processes_full: { place: "processes", cause: "full", outcome: "merged" },
  texts_full: { place: "texts", cause: "full", outcome: "merged" },
  file_paths_full: { place: "file_paths", cause: "full", outcome: "merged" },
  dns_names_full: { place: "dns_names", cause: "full", outcome: "merged" },
  dns_in_flight_full: { place: "dns_in_flight", cause: "full", outcome: "lost" },
  tcp_waiting_full: { place: "tcp_waiting", cause: "full", outcome: "lost" },
  tcp_accept_unseen: { place: "tcp_accept_delay", cause: "unseen", outcome: "lost" },
  stack_chunks_full: { place: "stack_chunks", cause: "full", outcome: "merged" },
  stack_frames_late: { place: "stack_frames", cause: "byte_cap", outcome: "merged" },
  stack_frames_let_go: { place: "stack_frames", cause: "byte_cap", outcome: "lost" },
  process_unregistered: { place: "processes", cause: "unregistered", outcome: "merged" },
};

/** What a reason of the agent's kernel side means: `syscall_latency_full`, `recursion:on_sys_exit`, … Throws a TypeError for one that nobody described. */
export function dropOf(reason: string): Drop {
  const known = dictionary[reason];
  if (known !== undefined) return known;
  const program = /^recursion:(.+)$/.exec(reason)?.[1];
  if (program !== undefined) return { place: program, cause: "recursion", outcome: "lost" };
  // What a signal's map has no room for goes to its ~other slots.
  const map = /^(.+)_full$/.exec(reason)?.[1];
  if (map !== undefined) return { place: map, cause: "full", outcome: "merged" };
  throw new TypeError(`no drop is described by the reason "${reason}"`);
}
