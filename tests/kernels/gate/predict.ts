// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { KernelBtf } from "../../../apps/agent/src/kernel/kernel-btf.ts";
import { describeMapTypes, optionalMapTypes } from "../../../apps/agent/src/libbpf/bpf-map.ts";
import { KIND } from "../../../apps/agent/src/libbpf/btf-format.ts";
import { coverageOf, type SignalCoverage } from "../../../apps/agent/src/probes/coverage.ts";
import { NO_EXCHANGE, type ProgramFailure, unsupportedProgram } from "../../../apps/agent/src/probes/failure.ts";
import { predictPrograms } from "../../../apps/agent/src/probes/prediction.ts";
import { type ProgramDecision, type ProgramPlan, RUN_BY_AGENT } from "../../../apps/agent/src/probes/program-plan.ts";
import type { ProgramState } from "../../../apps/agent/src/probes/program-state.ts";
import { BtfTypes } from "./btf-types.ts";
import { type ObjectFile, readObjectFile } from "./object-file.ts";
import { reach } from "./reach.ts";
import { resolve } from "./relocations.ts";

/**
 * Arguments of tracepoints that may be NULL, counted from 0; since 6.13 the verifier wants them compared before they are looked into (raw_tp_null_args in
 * kernel/bpf/btf.c, which leaves no trace in BTF). Held against every kernel: what is right on those is right on the others.
 */
const nullableArguments: Readonly<Record<string, readonly number[]>> = {
  kfree_skb: [3],
  mm_page_alloc: [0],
  qdisc_dequeue: [3],
  sched_pi_setprio: [1],
  tcp_send_reset: [0, 1],
  tcp_sendmsg_locked: [2],
  writeback_dirty_folio: [1],
};

export interface Prediction {
  readonly programs: readonly ProgramState[];
  readonly coverage: readonly SignalCoverage[];
}

/** What each program and each signal would come to on the kernel of that BTF. Nothing is loaded, and no privilege is needed. */
export function predict(btf: Buffer, objects: Objects): Prediction {
  const kernel = new KernelBtf(btf);
  const types = new BtfTypes(btf);
  const programs = predictPrograms(kernel, (plan, decision) => refusal(plan, decision, objects.get(plan.object), kernel, types));
  return { programs, coverage: coverageOf(programs) };
}

/** The built objects, each read once. */
export class Objects {
  readonly #directory: string;
  readonly #known = new Map<string, ObjectFile>();

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** @param name as a plan names it. Throws if it was not built. */
  get(name: string): ObjectFile {
    let object = this.#known.get(name);
    if (object === undefined) {
      object = readObjectFile(readFileSync(join(this.#directory, `${name}.bpf.o`)));
      this.#known.set(name, object);
    }
    return object;
  }
}

function refusal(plan: ProgramPlan, decision: ProgramDecision, object: ObjectFile, kernel: KernelBtf, types: BtfTypes): ProgramFailure | null {
  const failed = (why: string): ProgramFailure => ({
    program: plan.name,
    step: "load",
    errno: 0,
    errnoName: "",
    state: "failed",
    message: `${plan.name}: ${why}`,
  });
  const entry = object.programs.get(plan.name);
  if (entry === undefined) return failed(`${plan.object}.bpf.o has no such program`);
  const section = plan.hook === RUN_BY_AGENT ? "raw_tp" : plan.hook;
  if (entry.section !== section && plan.attach !== "clock") return failed(`its section is ${entry.section}, not ${section}`);

  const iterator = /^iter\/(.*)$/.exec(plan.hook)?.[1];
  if (iterator !== undefined && !kernel.hasFunction(`bpf_iter_${iterator}`)) return unsupportedProgram(plan, `this kernel has no iter/${iterator}`);
  const mapTypes = valuesOf(types, "bpf_map_type");
  const missingTypes = describeMapTypes(optionalMapTypes.filter(({ type }) => object.mapTypes.has(type) && !mapTypes.has(type)));
  if (missingTypes !== null) return unsupportedProgram(plan, `this kernel has no ${missingTypes}`);

  const found = reach({
    object,
    entry,
    constants: decision.constants ?? {},
    resolve: (section, offset) => {
      const relocation = object.relocations.get(section)?.get(offset);
      return relocation === undefined ? undefined : resolve(relocation, object.types, types);
    },
  });
  if (found.missing.length > 0) return failed(`looks into ${found.missing.join(", ")}, which this kernel does not have`);
  const helpers = valuesOf(types, "bpf_func_id");
  const missingHelpers = [...found.helpers].filter((helper) => !helpers.has(helper));
  if (missingHelpers.length > 0) return failed(`calls helpers ${missingHelpers.join(", ")}, which this kernel does not have`);
  // Instructions leave no trace in BTF; the helper came with the same release.
  if (found.exchanges && !kernel.hasHelper("check_mtu")) return unsupportedProgram(plan, NO_EXCHANGE);

  const args = plan.tracepoint === null ? null : kernel.tracepointArguments(plan.tracepoint);
  if (args === null || plan.tracepoint === null) return null;
  const tooFar = [...found.arguments].filter((index) => index >= args.length);
  if (tooFar.length > 0) return failed(`reads argument ${Math.max(...tooFar) + 1} of ${plan.tracepoint}, which has ${args.length} in this kernel`);
  for (const { argument, as, checked } of found.uses) {
    if (as !== "" && args[argument] !== `${as} *`)
      return failed(`takes argument ${argument + 1} of ${plan.tracepoint} for ${as} *, which is ${args[argument]} in this kernel`);
    if (!checked && nullableArguments[plan.tracepoint]?.includes(argument))
      return failed(`looks into argument ${argument + 1} of ${plan.tracepoint}, which may be NULL, without comparing it`);
  }
  return null;
}

/** Names of an enumeration's values; empty if the kernel has no such enumeration. */
function valuesOf(types: BtfTypes, name: string): ReadonlyMap<number, string> {
  const [id] = types.find(name, [KIND.enum, KIND.enum64]);
  return new Map(id === undefined ? [] : types.get(id).values.map(({ value, name }) => [value, name]));
}
