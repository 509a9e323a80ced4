// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { objectFiles } from "@waggle/bpf";
import { catalogue, getSignalOrThrow } from "@waggle/signals";
import { beforeAll, describe, expect, it } from "vitest";
import { readStructLayouts, type StructLayout } from "../libbpf/btf.ts";
import { layoutProblem } from "./layout.ts";

const packageDirectory = fileURLToPath(new URL("../../../../packages/bpf", import.meta.url));

describe("structs of the BPF objects", () => {
  const layouts = new Map<string, StructLayout>();

  beforeAll(() => {
    execFileSync("make", ["-s", "-C", packageDirectory]);
    for (const file of objectFiles)
      for (const [name, layout] of readStructLayouts(readFileSync(join(packageDirectory, "build", file)))) layouts.set(name, layout);
  }, 120_000);

  it("are exactly what the catalogue says, for every signal that has a map", () => {
    const signals = catalogue.filter(({ bpf }) => bpf !== null);
    expect(signals.length).toBeGreaterThan(0);
    expect(signals.map((signal) => [signal.name, layoutProblem(signal, layouts)])).toEqual(signals.map(({ name }) => [name, undefined]));
  });

  const changed = (struct: string, change: (layout: StructLayout) => StructLayout): Map<string, StructLayout> => {
    const layout = layouts.get(struct);
    if (layout === undefined) throw new Error(`no struct ${struct}`);
    return new Map(layouts).set(struct, change(layout));
  };
  const rtt = getSignalOrThrow("tcp_rtt");
  const connections = getSignalOrThrow("tcp_connections");

  it("are refused if a field of a key is renamed", () => {
    const renamed = changed("tcp_rtt_key", (layout) => ({
      ...layout,
      fields: layout.fields.map((field) => (field.name === "peer_port" ? { ...field, name: "remote_port" } : field)),
    }));
    expect(layoutProblem(rtt, renamed)).toContain("remote_port");
  });

  it("are refused if a measure is missing", () => {
    const cut = changed("tcp_connections_value", (layout) => ({ ...layout, size: layout.size - 8, fields: layout.fields.slice(0, -1) }));
    expect(layoutProblem(connections, cut)).toContain("no field zero_window");
  });

  it("are refused if a field has another type", () => {
    const retyped = changed("tcp_rtt_key", (layout) => ({
      ...layout,
      fields: layout.fields.map((field) => (field.name === "port" ? { ...field, type: "__s16" } : field)),
    }));
    expect(layoutProblem(rtt, retyped)).toContain("tcp_rtt_key.port is __s16");
  });

  it("are refused if the compiler padded them in secret", () => {
    const padded = changed("tcp_rtt_key", (layout) => ({ ...layout, fields: layout.fields.filter(({ name }) => name !== "pad") }));
    expect(layoutProblem(rtt, padded)).toContain("hidden");
  });
});

describe("readStructLayouts", () => {
  it("refuses what is no ELF file", () => {
    expect(() => readStructLayouts(Buffer.from("not an object"))).toThrow("ELF64");
  });
});
