// SPDX-License-Identifier: Apache-2.0

/**
 * How the agent's Node.js is to be started, so that it stays within its memory (`RSS_BYTES_MAX` in status/status-report.ts). Whoever starts the agent uses these
 * two; dist/waggle-agent is a script that does.
 */

/**
 * A small nursery, one helper thread instead of one per CPU, and the right to collect after a window, so that
 * garbage does not pile up. The heap itself may grow to three times of what an ordinary host needs: a host may raise
 * WAGGLE_AGENT_ROWS_MAX, and dying of a large window would be worse than the moment it takes. Bytecode stays: V8 lets go of what was not run during some
 * collections, and a window runs everything once, so that much was compiled and optimised again and again.
 */
export const nodeFlags = ["--max-old-space-size=96", "--max-semi-space-size=1", "--v8-pool-size=1", "--expose-gc", "--no-flush-bytecode"] as const;

/** One malloc arena, as each thread's own keeps what it once used; and fewer threads for files and names. */
export const launchEnvironment = { MALLOC_ARENA_MAX: "1", UV_THREADPOOL_SIZE: "2" } as const;
