// SPDX-License-Identifier: Apache-2.0
import { existsSync } from "node:fs";
import { join } from "node:path";
import { catalogue } from "@waggle/signals";
import { formatBytes, formatDuration } from "@waggle/units";
import { missingCapabilities } from "../kernel/capabilities.ts";
import { programPlans } from "../probes/programs.ts";
import { type CheckDefinition, type CheckItem, fail, pass, skip, type Verdict, warn } from "./check.ts";
import type { DoctorFacts } from "./facts.ts";
import { type InitSight, SWITCHES_ENOUGH, watchInit } from "./init-sight.ts";
import { readSysctl } from "./kernel-checks.ts";
import { planOf, requireObjects, type Trial } from "./trial.ts";

const FIX_OBJECTS = "build them (pnpm --filter @waggle/bpf build) or set WAGGLE_AGENT_BPF_DIRECTORY";

/** Checks that open, load and attach. */
export const programChecks: readonly CheckDefinition[] = [
  {
    id: "libbpf",
    group: "programs",
    title: "libbpf",
    about: "libbpf.so.1 and the native part of koffi can be loaded.",
    run: checkLibbpf,
  },
  {
    id: "bpf-objects",
    group: "programs",
    title: "object files",
    about: "The compiled programs are where the agent looks for them, all of them.",
    run: checkObjects,
  },
  {
    id: "map-memory",
    group: "programs",
    title: "memory of maps",
    about: "What all maps take, for all CPUs this machine may ever have, against `WAGGLE_AGENT_MAP_BYTES_MAX`. Computed; nothing is made for it.",
    after: ["libbpf", "bpf-objects"],
    run: checkMapMemory,
  },
  {
    id: "programs-load",
    group: "programs",
    title: "load and attach",
    about:
      "Each program is loaded and attached on its own, with small maps of its own, and taken off again at once. One that is refused shows the errno and the verifier's last words. After a minute the rest is left untried and skipped.",
    after: ["libbpf", "bpf-objects", "capabilities-core"],
    run: async (facts) => judgePrograms(await facts.trial()),
  },
  {
    id: "kernel-jit",
    group: "programs",
    title: "machine code (JIT)",
    about: "Whether loaded programs became machine code: the kernel tells of each. Interpreted ones cost several times as much.",
    run: checkJit,
  },
  {
    id: "init-sight",
    group: "programs",
    title: "sight of init",
    about:
      "Whether programs run while a thread of the init process has the CPU, which a hosted kernel may not let them: for up to a second, switches to init are held against switches away from it. Where they do not, nothing that happens on that CPU meanwhile is counted, interrupts included, and the kernel counts no miss.",
    after: ["libbpf", "bpf-objects", "capabilities-core"],
    run: async ({ config }) => judgeInitSight(await watchInit(config)),
  },
  {
    id: "signal-coverage",
    group: "programs",
    title: "signals",
    about:
      "What the agent's first window would say of each signal. A signal that fails is a failure; one that is counted in another way, or that this kernel cannot give, a warning; one that the hardware has to give, neither.",
    after: ["libbpf", "bpf-objects", "capabilities-core"],
    run: async (facts) => judgeCoverage((await facts.trial()).coverage),
  },
];

async function checkLibbpf(): Promise<Verdict> {
  try {
    const { getLibbpf } = await import("../libbpf/symbols.ts");
    return pass(getLibbpf().libbpf_version_string());
  } catch (error) {
    return fail(
      (error as Error).message,
      "no program can be loaded; signals out of /proc still work",
      "apt install libbpf1 (Fedora: dnf install libbpf)",
    );
  }
}

export function judgeInitSight({ switchesTo, switchesFrom }: InitSight): Verdict {
  if (switchesTo < SWITCHES_ENOUGH)
    return skip(`init hardly ran meanwhile: it was switched to ${switchesTo} times, and away from ${switchesFrom} times`);
  if (switchesFrom >= switchesTo / 2) return pass(`init was seen to be switched to ${switchesTo} times, and away from ${switchesFrom} times`);
  return warn(
    `init was seen to be switched to ${switchesTo} times, and away from ${switchesFrom} times`,
    "this kernel runs no program while a thread of its init process has the CPU: what happens there meanwhile is missing in exact counts, interrupts of disks and the network included",
    "nothing on this host: read shares in agent_accounting for what is missing, and expect gaps as long as init runs (/proc/1/schedstat)",
  );
}

function checkObjects(facts: DoctorFacts): Verdict {
  // Asked for outside of the `try`: where it cannot be used, that is no verdict on the files.
  const { config } = facts;
  let directory: string;
  try {
    directory = requireObjects(config);
  } catch (error) {
    return fail((error as Error).message, "they were not built or not installed", FIX_OBJECTS);
  }
  const names = [...new Set(programPlans.map(({ object }) => `${object}.bpf.o`))];
  const items = names.map((name): CheckItem => {
    const isThere = existsSync(join(directory, name));
    return { name, result: isThere ? "PASS" : "FAIL", found: isThere ? "there" : "missing" };
  });
  const missing = items.filter(({ result }) => result === "FAIL").map(({ name }) => name);
  if (missing.length > 0)
    return fail(`${missing.join(", ")} not in ${directory}`, "the folder is another version's, or not whole", FIX_OBJECTS, items);
  return pass(`${names.length} in ${directory}`, items);
}

function checkMapMemory(facts: DoctorFacts): Verdict {
  const { bytes, bytesMax, cpus, shrunk } = planOf(facts.config, requireObjects(facts.config)).mapPlan;
  const found = `${formatBytes(bytes)} of ${formatBytes(bytesMax)} planned for ${cpus} possible CPUs`;
  const count = Object.keys(shrunk).length;
  if (bytes <= bytesMax) return pass(count === 0 ? found : `${found}, ${count} maps made smaller for it`);
  return warn(
    found,
    "they are as small as they get, and still above the limit",
    "raise WAGGLE_AGENT_MAP_BYTES_MAX, or boot with possible_cpus=N if the machine will never have that many",
  );
}

export function judgePrograms({ programs, elapsedMs }: Pick<Trial, "programs" | "elapsedMs">): Verdict {
  const items = programs.map(({ program, hook, attached, failure, without, insteadOf }): CheckItem => {
    if (attached)
      return { name: program, result: insteadOf === null ? "PASS" : "WARN", found: insteadOf === null ? hook : `${hook}, ${insteadOf.reason}` };
    const found = (failure?.message ?? "not attached").replace(`${program}: `, "");
    if (failure?.step === "wait") return { name: program, result: "SKIP", found };
    // What the kernel does not have, and what was switched off, is nobody's fault.
    return { name: program, result: failure?.state === "failed" ? "FAIL" : "WARN", found: without === null ? found : `${found}; ${without}` };
  });
  const of = (result: CheckItem["result"]): CheckItem[] => items.filter((item) => item.result === result);
  const attached = programs.filter((program) => program.attached).length;
  const found = `${attached} of ${programs.length} loaded and attached, in ${formatDuration(elapsedMs * 1e6)}`;
  const first = (result: CheckItem["result"]): string => of(result).map(({ name, found }) => `${name}: ${found}`)[0] ?? "";
  if (of("FAIL").length > 0)
    return fail(
      found,
      first("FAIL"),
      "the agent runs without it and says so of its signals; report it with the output of waggle-agent doctor --json",
      items,
    );
  if (of("SKIP").length > 0) return skip(`${found}; ${first("SKIP")}`, items);
  if (of("WARN").length > 0) return warn(found, first("WARN"), "the agent does without; a newer kernel has it", items);
  return pass(found, items);
}

async function checkJit(facts: DoctorFacts): Promise<Verdict> {
  const sysctl = readSysctl(facts.hostRoot, "net/core/bpf_jit_enable");
  let jited: ReadonlyMap<string, number> = new Map();
  try {
    if (missingCapabilities(new Set(facts.kernel.capabilities)).length === 0) jited = (await facts.trial()).jitedBytes;
  } catch {
    // Without programs the setting has to do.
  }
  return judgeJit(sysctl, jited);
}

/** @param sysctl net.core.bpf_jit_enable, open to root only; undefined: not told */
export function judgeJit(sysctl: string | undefined, jitedBytes: ReadonlyMap<string, number>): Verdict {
  const fix = "sysctl -w net.core.bpf_jit_enable=1";
  const bytes = [...jitedBytes.values()].reduce((sum, size) => sum + size, 0);
  const interpreted = [...jitedBytes].filter(([, size]) => size === 0).map(([name]) => name);
  if (bytes > 0 && interpreted.length === 0) return pass(`${jitedBytes.size} programs are ${formatBytes(bytes)} of machine code`);
  if (sysctl === "0") return warn("off", "programs are interpreted and cost several times as much", fix);
  if (bytes > 0) return warn(`${interpreted.length} of ${jitedBytes.size} are interpreted`, "they cost several times as much", fix);
  if (sysctl !== undefined) return pass(`on (${sysctl})`);
  return skip("no program was loaded that could show it, and net.core.bpf_jit_enable is open to root only");
}

/** Signals that depend on hardware that most machines lack, and on nobody's doing. */
const hardwareSignals = ["energy"];

export function judgeCoverage(coverage: Trial["coverage"]): Verdict {
  const order = catalogue.map(({ name }) => name);
  const items = coverage
    .toSorted((a, b) => order.indexOf(a.signal) - order.indexOf(b.signal))
    .map(({ signal, state, reason }): CheckItem => {
      const isWell =
        state === "exact" || state === "disabled" || state === "sampled" || (state === "unsupported" && hardwareSignals.includes(signal));
      return { name: signal, result: state === "failed" ? "FAIL" : isWell ? "PASS" : "WARN", found: reason === "" ? state : `${state}: ${reason}` };
    });
  const states = new Map<string, number>();
  for (const { state } of coverage) states.set(state, (states.get(state) ?? 0) + 1);
  const found = [...states].map(([state, count]) => `${count} ${state}`).join(", ");
  const named = (result: CheckItem["result"]): string =>
    items
      .filter((item) => item.result === result)
      .map(({ name }) => name)
      .join(", ");
  if (named("FAIL") !== "") return fail(found, `failed: ${named("FAIL")}`, "see programs-load for what refuses", items);
  if (named("WARN") !== "") return warn(found, `not as meant: ${named("WARN")}`, "docs/kernels.md says which kernels give them", items);
  return pass(found, items);
}
