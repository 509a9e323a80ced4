// SPDX-License-Identifier: Apache-2.0
import { gzipSync } from "node:zlib";
import { BinaryWriter } from "@bufbuild/protobuf/wire";

/** A stack with the values of its measures, whole numbers. */
export interface ExportedStack {
  readonly frames: readonly string[];
  readonly values: readonly number[];
}

/** A profile as other tools read it. */
export interface ExportedProfile {
  readonly name: string;
  /** What `values` are: such as `samples` in `count`, `cpu` in `nanoseconds`. The last one is what the profile is about. */
  readonly types: readonly { readonly type: string; readonly unit: string }[];
  /** What one sample stands for, in the unit of the last type; 0 = it is an exact measurement. */
  readonly period: number;
  readonly fromMs: number;
  readonly toMs: number;
  readonly stacks: readonly ExportedStack[];
}

/** Frames joined by `;`, a space, and the first value: the text that flame graph scripts read. */
export function toCollapsed({ stacks }: ExportedProfile): string {
  return stacks.map(({ frames, values }) => `${frames.join(";")} ${values[0]}\n`).join("");
}

interface SpeedscopeFile {
  readonly $schema: "https://www.speedscope.app/file-format-schema.json";
  readonly name: string;
  readonly exporter: string;
  readonly shared: { readonly frames: readonly { readonly name: string; readonly file?: string }[] };
  readonly profiles: readonly {
    readonly type: "sampled";
    readonly name: string;
    readonly unit: "nanoseconds" | "none";
    readonly startValue: number;
    readonly endValue: number;
    readonly samples: readonly (readonly number[])[];
    readonly weights: readonly number[];
  }[];
}

/** A file of speedscope.app: one sampled profile, weighed by the last value. */
export function toSpeedscope({ name, types, stacks }: ExportedProfile): SpeedscopeFile {
  const indexes = new Map<string, number>();
  const samples = stacks.map(({ frames }) => frames.map((frame) => indexOf(indexes, frame)));
  const weights = stacks.map(({ values }) => values.at(-1) ?? 0);
  return {
    $schema: "https://www.speedscope.app/file-format-schema.json",
    name,
    exporter: "waggle",
    shared: {
      frames: [...indexes.keys()].map((frame) => {
        const { functionName, module } = splitFrame(frame);
        return { name: functionName, ...(module === "" ? {} : { file: module }) };
      }),
    },
    profiles: [
      {
        type: "sampled",
        name,
        unit: types.at(-1)?.unit === "nanoseconds" ? "nanoseconds" : "none",
        startValue: 0,
        endValue: weights.reduce((sum, weight) => sum + weight, 0),
        samples,
        weights,
      },
    ],
  };
}

/** Field numbers of perftools.profiles.Profile and its parts (github.com/google/pprof, proto/profile.proto). */
const PROFILE = {
  sampleType: 1,
  sample: 2,
  mapping: 3,
  location: 4,
  function: 5,
  stringTable: 6,
  timeNanos: 9,
  durationNanos: 10,
  periodType: 11,
  period: 12,
} as const;
const VALUE_TYPE = { type: 1, unit: 2 } as const;
const SAMPLE = { locationId: 1, value: 2 } as const;
const MAPPING = { id: 1, filename: 5, hasFunctions: 7 } as const;
const LOCATION = { id: 1, mappingId: 2, line: 4 } as const;
const LINE = { functionId: 1 } as const;
const FUNCTION = { id: 1, name: 2, systemName: 3 } as const;

/** The protobuf of pprof, compressed as its tools write it. Addresses are not known: a location is a function of a module. */
export function toPprof({ types, period, fromMs, toMs, stacks }: ExportedProfile): Uint8Array {
  const writer = new BinaryWriter();
  const strings = new Map<string, number>([["", 0]]);
  const text = (value: string): number => indexOf(strings, value);
  const message = (field: number, write: (part: BinaryWriter) => void): void => {
    writer.tag(field, 2).fork();
    write(writer);
    writer.join();
  };
  const number = (field: number, value: number): void => {
    if (value !== 0) writer.tag(field, 0).int64(value);
  };
  const valueType = (field: number, { type, unit }: ExportedProfile["types"][number]): void =>
    message(field, () => {
      number(VALUE_TYPE.type, text(type));
      number(VALUE_TYPE.unit, text(unit));
    });
  const packed = (field: number, values: readonly number[]): void => {
    writer.tag(field, 2).fork();
    for (const value of values) writer.int64(value);
    writer.join();
  };

  for (const type of types) valueType(PROFILE.sampleType, type);
  const locations = new Map<string, number>();
  for (const { frames, values } of stacks) {
    message(PROFILE.sample, () => {
      // The leaf comes first; ids begin with 1.
      packed(
        SAMPLE.locationId,
        frames.toReversed().map((frame) => indexOf(locations, frame) + 1),
      );
      packed(SAMPLE.value, values);
    });
  }
  const modules = new Map<string, number>();
  for (const [frame, index] of locations) {
    const { module } = splitFrame(frame);
    message(PROFILE.location, () => {
      number(LOCATION.id, index + 1);
      if (module !== "") number(LOCATION.mappingId, indexOf(modules, module) + 1);
      message(LOCATION.line, () => number(LINE.functionId, index + 1));
    });
  }
  for (const [module, index] of modules) {
    message(PROFILE.mapping, () => {
      number(MAPPING.id, index + 1);
      number(MAPPING.filename, text(module));
      number(MAPPING.hasFunctions, 1);
    });
  }
  for (const [frame, index] of locations) {
    const name = text(splitFrame(frame).functionName);
    message(PROFILE.function, () => {
      number(FUNCTION.id, index + 1);
      number(FUNCTION.name, name);
      number(FUNCTION.systemName, name);
    });
  }
  writer.tag(PROFILE.timeNanos, 0).int64(BigInt(fromMs) * 1_000_000n);
  writer.tag(PROFILE.durationNanos, 0).int64(BigInt(toMs - fromMs) * 1_000_000n);
  const last = types.at(-1);
  if (period > 0 && last !== undefined) {
    valueType(PROFILE.periodType, last);
    number(PROFILE.period, Math.round(period));
  }
  for (const value of strings.keys()) writer.tag(PROFILE.stringTable, 2).string(value);
  return gzipSync(writer.finish());
}

/** `function [module]` or `[module]` alone, where the function has no name; the kernel's frames end in `_[k]` and have no module. */
export function splitFrame(frame: string): { readonly functionName: string; readonly module: string } {
  if (frame.endsWith("_[k]")) return { functionName: frame, module: "[kernel]" };
  const match = /^(.+) \[([^[\]]+)\]$/.exec(frame);
  return match === null ? { functionName: frame, module: "" } : { functionName: match[1] as string, module: match[2] as string };
}

function indexOf(table: Map<string, number>, value: string): number {
  let index = table.get(value);
  if (index === undefined) {
    index = table.size;
    table.set(value, index);
  }
  return index;
}
