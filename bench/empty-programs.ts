// SPDX-License-Identifier: Apache-2.0
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { ProgramPlan } from "../apps/agent/src/probes/program-plan.ts";
import { programPlans } from "../apps/agent/src/probes/programs.ts";

export const bpfPackage = fileURLToPath(new URL("../packages/bpf", import.meta.url));
export const objectDirectory = join(bpfPackage, "build");

/** Hooks that no load of a bench reaches have no empty program (packages/bpf/bench/empty.bpf.c), and nor have iterators, which are not hooked. */
const without = new Set(["on_sock_rcvqueue_full", "on_sock_exceed_buf_limit", "on_mark_victim", "on_oom_exit"]);

export const emptyName = (program: string): string => program.replace(/^on_/, "empty_");

/** Programs that do nothing, in place of the agent's. */
export function emptyPlans(isWanted: (program: string) => boolean = () => true): ProgramPlan[] {
  return programPlans
    .filter(({ name, tracepoint, attach }) => isWanted(name) && !without.has(name) && (tracepoint !== null || attach === "clock"))
    .map(({ name, hook, tracepoint, attach }) => ({
      name: emptyName(name),
      object: "empty",
      hook,
      tracepoint,
      ...(attach === undefined ? {} : { attach }),
    }));
}
