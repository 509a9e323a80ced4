// SPDX-License-Identifier: Apache-2.0
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { KernelBtf } from "../../../apps/agent/src/kernel/kernel-btf.ts";
import { KIND } from "../../../apps/agent/src/libbpf/btf-format.ts";
import { programPlans } from "../../../apps/agent/src/probes/programs.ts";
import { type BtfTypes, essentialName } from "./btf-types.ts";
import type { Wanted } from "./minimize.ts";
import type { Objects } from "./predict.ts";

export const shelfFolder = join(import.meta.dirname, "../shelf");

/** The stored BTF of a kernel; null if none is stored. */
export function readShelf(kernel: string): Buffer | null {
  const file = join(shelfFolder, `${kernel}.btf.gz`);
  return existsSync(file) ? gunzipSync(readFileSync(file)) : null;
}

/** All that the objects name in their own BTF, and that the agent asks a kernel for when it decides. */
export function wantedOf(objects: Objects, kernel: Buffer): Wanted {
  const types = new Set(["bpf_map_type", "bpf_func_id"]);
  const functions = new Set<string>();
  const enumerators = new Set<string>();
  const names = (object: BtfTypes): void => {
    for (let id = 1; id < object.count; id++) {
      const { kind, name } = object.get(id);
      if (([KIND.struct, KIND.union, KIND.enum, KIND.enum64, KIND.forward] as number[]).includes(kind) && name !== "") types.add(essentialName(name));
    }
  };
  for (const { object, hook } of programPlans) {
    names(objects.get(object).types);
    const iterator = /^iter\/(.*)$/.exec(hook)?.[1];
    if (iterator === undefined) continue;
    types.add(`bpf_iter__${iterator}`);
    functions.add(`bpf_iter_${iterator}`);
  }
  for (const plan of programPlans) plan.decide?.(new AskedKernel(kernel, { types, functions, enumerators }));
  return { types, functions, enumerators, tracepoints: new Set(programPlans.flatMap(({ tracepoint }) => tracepoint ?? [])) };
}

/** Takes down what it is asked for. What a decision asks only after a certain answer is missed, so every kernel is asked for itself. */
class AskedKernel extends KernelBtf {
  readonly #asked: Readonly<Record<"types" | "functions" | "enumerators", Set<string>>>;

  constructor(bytes: Buffer, asked: Readonly<Record<"types" | "functions" | "enumerators", Set<string>>>) {
    super(bytes);
    this.#asked = asked;
  }

  override hasField(struct: string, field: string): boolean {
    this.#asked.types.add(struct);
    return super.hasField(struct, field);
  }

  override hasStruct(name: string): boolean {
    this.#asked.types.add(name);
    return super.hasStruct(name);
  }

  override hasFunction(name: string): boolean {
    this.#asked.functions.add(name);
    return super.hasFunction(name);
  }

  override enumeration(name: string): ReadonlyMap<number, string> | null {
    this.#asked.types.add(name);
    return super.enumeration(name);
  }

  override enumerator(name: string): number | null {
    this.#asked.enumerators.add(name);
    return super.enumerator(name);
  }
}
