// SPDX-License-Identifier: Apache-2.0
import { getSignal, hostSignals } from "@waggle/signals";

/** Every signal of the catalogue that agents report. */
export const everySignal: ReadonlySet<string> = new Set(hostSignals.map(({ name }) => name));

/** What a host says of itself whatever else is made up: pages and limits stand on it. */
const always = ["host_facts", "agent_cost", "agent_accounting", "agent_coverage"] as const;

/** TCP flows and system calls, which is what most measurements of this project count on: their rows are those that this list gives, whatever signals come to the catalogue. */
export const flowsAndCalls = [
  "tcp_connections",
  "tcp_retransmits",
  "tcp_rtt",
  "tcp_connect_latency",
  "tcp_connect_failures",
  "syscalls",
  "syscall_errors",
  "syscall_latency",
] as const;

/** The signals of these names, and those that are always made up. */
export function signalsOf(names: Iterable<string>): ReadonlySet<string> {
  const wanted = new Set<string>([...always, ...names]);
  return new Set([...everySignal].filter((name) => wanted.has(name)));
}

/** Reads `tcp,dns_queries`: families and single signals. Throws an Error in words. */
export function parseSignals(text: string): ReadonlySet<string> {
  const families = new Set(hostSignals.map(({ family }) => family as string));
  return signalsOf(
    text.split(",").flatMap((word) => {
      if (families.has(word)) return hostSignals.filter(({ family }) => family === word).map(({ name }) => name);
      if (everySignal.has(word)) return [word];
      const why = getSignal(word) === undefined ? "there is no signal or family" : "no host reports";
      throw new Error(`${why} "${word}"; families are ${[...families].join(", ")}`);
    }),
  );
}
