// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { gunzipSync } from "node:zlib";
import { Ajv } from "ajv";
import { Profile } from "pprof-format";
import { describe, expect, it } from "vitest";
import { type ExportedProfile, splitFrame, toCollapsed, toPprof, toSpeedscope } from "./exports.ts";

const profile: ExportedProfile = {
  name: "cpu_profile",
  types: [
    { type: "samples", unit: "count" },
    { type: "cpu", unit: "nanoseconds" },
  ],
  period: 1e9 / 49,
  fromMs: Date.UTC(2026, 10, 20),
  toMs: Date.UTC(2026, 10, 20, 1),
  stacks: [
    { frames: ["nginx", "main [nginx]", "read [libc.so.6]", "vfs_read_[k]"], values: [3, 61_224_490] },
    { frames: ["nginx", "main [nginx]", "main [nginx]"], values: [2, 40_816_327] },
    { frames: ["[unknown stack]"], values: [1, 20_408_163] },
  ],
};

describe("splitFrame", () => {
  it("takes function and module apart", () => {
    expect(splitFrame("main [nginx]")).toEqual({ functionName: "main", module: "nginx" });
    expect(splitFrame("operator[] [libx]")).toEqual({ functionName: "operator[]", module: "libx" });
    expect(splitFrame("vfs_read_[k]")).toEqual({ functionName: "vfs_read_[k]", module: "[kernel]" });
    expect(splitFrame("[jit]")).toEqual({ functionName: "[jit]", module: "" });
  });
});

describe("exports", () => {
  it("are collapsed text, one line a stack", () => {
    expect(toCollapsed(profile)).toBe("nginx;main [nginx];read [libc.so.6];vfs_read_[k] 3\nnginx;main [nginx];main [nginx] 2\n[unknown stack] 1\n");
  });

  it("are a pprof that another decoder reads back to the same stacks and values", () => {
    const read = Profile.decode(gunzipSync(toPprof(profile)));
    const { strings } = read.stringTable;
    const text = (index: unknown): string => strings[Number(index)] as string;
    expect(strings[0]).toBe("");
    expect(read.sampleType.map(({ type, unit }) => [text(type), text(unit)])).toEqual([
      ["samples", "count"],
      ["cpu", "nanoseconds"],
    ]);
    const functions = new Map(read.function.map((entry) => [Number(entry.id), text(entry.name)]));
    const mappings = new Map(read.mapping.map((entry) => [Number(entry.id), text(entry.filename)]));
    const locations = new Map(
      read.location.map((entry) => [
        Number(entry.id),
        `${functions.get(Number(entry.line[0]?.functionId))} in ${mappings.get(Number(entry.mappingId)) ?? "-"}`,
      ]),
    );
    expect(read.sample.map((sample) => [sample.locationId.map((id) => locations.get(Number(id))), sample.value.map(Number)])).toEqual([
      [
        ["vfs_read_[k] in [kernel]", "read in libc.so.6", "main in nginx", "nginx in -"],
        [3, 61_224_490],
      ],
      [
        ["main in nginx", "main in nginx", "nginx in -"],
        [2, 40_816_327],
      ],
      [["[unknown stack] in -"], [1, 20_408_163]],
    ]);
    expect([read.timeNanos, read.durationNanos, read.period].map(BigInt)).toEqual([
      BigInt(profile.fromMs) * 1_000_000n,
      3_600_000_000_000n,
      20_408_163n,
    ]);
    expect([text(read.periodType?.type), text(read.periodType?.unit)]).toEqual(["cpu", "nanoseconds"]);
  });

  it("are a speedscope file by its schema, whose weights add up", () => {
    const schema = createRequire(import.meta.url).resolve("speedscope/dist/release/file-format-schema.json");
    const validate = new Ajv({ strict: false }).compile(JSON.parse(readFileSync(schema, "utf8")) as object);
    const file = toSpeedscope(profile);
    expect(validate(JSON.parse(JSON.stringify(file))), JSON.stringify(validate.errors)).toBe(true);
    const [sampled] = file.profiles;
    expect(sampled?.samples.map((sample) => sample.map((index) => file.shared.frames[index]?.name))).toEqual([
      ["nginx", "main", "read", "vfs_read_[k]"],
      ["nginx", "main", "main"],
      ["[unknown stack]"],
    ]);
    expect(sampled).toMatchObject({ unit: "nanoseconds", startValue: 0, endValue: 122_448_980 });
  });

  it("of nothing are empty and valid", () => {
    const empty = { ...profile, stacks: [] };
    expect(toCollapsed(empty)).toBe("");
    expect(Profile.decode(gunzipSync(toPprof(empty))).sample).toEqual([]);
    expect(toSpeedscope(empty).profiles[0]?.endValue).toBe(0);
  });
});
