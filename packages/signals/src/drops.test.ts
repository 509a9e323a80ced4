// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { catalogue } from "./catalogue.ts";
import { dropCauses, dropOf } from "./drops.ts";

describe("dropOf", () => {
  const header = readFileSync(new URL("../../bpf/include/drops.bpf.h", import.meta.url), "utf8");
  const reasons = [...header.matchAll(/^\t__u64 (\w+);$/gm)].map(([, reason]) => reason as string);

  it("knows every reason that programs count, and takes only signals' own maps for such", () => {
    const maps = new Set(catalogue.flatMap(({ bpf }) => (bpf === null ? [] : [bpf.map])));
    expect(reasons.length).toBeGreaterThan(30);
    const drops = reasons.map((reason) => ({ reason, ...dropOf(reason) }));
    expect(drops.filter(({ cause }) => !(cause in dropCauses))).toEqual([]);
    const assumed = drops.filter(({ reason, place }) => reason === `${place}_full` && !maps.has(place)).map(({ place }) => place);
    expect(assumed.sort()).toEqual(["dns_in_flight", "dns_names", "file_paths", "processes", "tcp_waiting", "texts"]);
  });

  it("knows what the agent counts itself, and nothing that nobody described", () => {
    expect(dropOf("recursion:on_sys_exit")).toEqual({ place: "on_sys_exit", cause: "recursion", outcome: "lost" });
    expect(dropOf("process_unregistered")).toMatchObject({ place: "processes", outcome: "merged" });
    expect(dropOf("stack_frames_late")).toEqual({ place: "stack_frames", cause: "byte_cap", outcome: "merged" });
    expect(dropOf("stack_frames_let_go")).toEqual({ place: "stack_frames", cause: "byte_cap", outcome: "lost" });
    expect(() => dropOf("mystery")).toThrow("mystery");
  });
});
