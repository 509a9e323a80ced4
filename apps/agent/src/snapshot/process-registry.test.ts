// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import type { StructLayout } from "../libbpf/btf.ts";
import { ProcessRegistry } from "./process-registry.ts";

const layout: StructLayout = {
  name: "process",
  size: 48,
  fields: [
    { name: "comm", offset: 0, size: 16, type: "char[16]" },
    { name: "cgroup_id", offset: 16, size: 8, type: "__u64" },
    { name: "v1_group_ids", offset: 24, size: 16, type: "__u64[2]" },
    { name: "tgid", offset: 40, size: 4, type: "__u32" },
    { name: "pad", offset: 44, size: 4, type: "__u32" },
  ],
};

function register(registry: ProcessRegistry, id: bigint, comm: string, cgroupId = 1n): void {
  const key = Buffer.alloc(8);
  key.writeBigUInt64LE(id);
  const value = Buffer.alloc(48);
  value.write(comm);
  value.writeBigUInt64LE(cgroupId, 16);
  value.writeBigUInt64LE(cgroupId + 1n, 32);
  value.writeUInt32LE(4711, 40);
  registry.add(key, value, 1, layout);
}

describe("ProcessRegistry", () => {
  it("asks for a process's unit once, with what the kernel knows of it", () => {
    const asked: unknown[] = [];
    const registry = new ProcessRegistry({
      unitOf: (process) => {
        asked.push(process);
        return "nginx.service";
      },
    });
    register(registry, 7n, "nginx", 42n);
    register(registry, 7n, "nginx", 42n);
    expect(asked).toEqual([{ processId: 7n, comm: "nginx", cgroupId: 42n, v1GroupIds: [0n, 43n], tgid: 4711 }]);
    expect(registry.get(7n)).toMatchObject({ process: "nginx", unit: "nginx.service" });
  });

  it("asks again for a unit that is not known yet, as other processes of that name may come", () => {
    let unit: string | undefined;
    const registry = new ProcessRegistry({ unitOf: () => unit });
    register(registry, 7n, "healthcheck");
    registry.settle();
    expect(registry.get(7n)).toMatchObject({ process: "healthcheck", unit: "" });
    unit = "docker/web";
    register(registry, 7n, "healthcheck");
    registry.settle();
    expect(registry.get(7n)).toMatchObject({ process: "healthcheck", unit: "docker/web" });
  });

  it("gives up a unit that nobody knows", () => {
    let asked = 0;
    const registry = new ProcessRegistry({
      unitOf: () => {
        asked++;
        return undefined;
      },
    });
    register(registry, 7n, "gone");
    for (let window = 0; window < 100; window++) registry.settle();
    expect(asked).toBe(11);
  });

  it("leaves the unit empty if it cannot be resolved", () => {
    const registry = new ProcessRegistry({
      unitOf: () => {
        throw new Error("no such control group");
      },
    });
    register(registry, 7n, "nginx");
    expect(registry.get(7n)).toMatchObject({ process: "nginx", unit: "" });
  });

  it("calls processes by the name of their unit from the window on in which it became known", () => {
    const renames = new Map<string, string>();
    const registry = new ProcessRegistry({ unitOf: () => "docker/3f4e5d6c7b8a", renames: () => renames });
    register(registry, 7n, "nginx");
    registry.begin();
    expect(registry.get(7n)).toMatchObject({ unit: "docker/3f4e5d6c7b8a" });
    renames.set("docker/3f4e5d6c7b8a", "docker/web");
    registry.begin();
    expect(registry.get(7n)).toMatchObject({ process: "nginx", unit: "docker/web" });
  });

  it("gives two ids with the same names one entry", () => {
    const registry = new ProcessRegistry({ unitOf: () => "u" });
    register(registry, 7n, "worker", 1n);
    register(registry, 8n, "worker", 2n);
    expect(registry.get(7n)).toBe(registry.get(8n));
  });

  it("does not know an id that never registered", () => {
    expect(new ProcessRegistry({ unitOf: () => "" }).get(9n)).toBeUndefined();
  });

  it("reads a comm of 15 bytes that is cut inside a character", () => {
    const registry = new ProcessRegistry({ unitOf: () => "" });
    register(registry, 7n, "abcdefghijklmno");
    expect(registry.get(7n)?.process).toBe("abcdefghijklmno");
  });

  it("forgets only what is quiet once there are too many, after everything had a whole window to register again", () => {
    const registry = new ProcessRegistry({ unitOf: () => "" }, 2);
    registry.begin();
    for (const id of [11n, 12n, 13n]) register(registry, id, `p${id}`);
    registry.end();
    expect(registry.generation).toBe(2);
    // The window in which the new generation is written to the kernel, and the first whole one after it.
    registry.begin();
    registry.end();
    expect(registry.size).toBe(3);
    registry.begin();
    register(registry, 11n, "p11");
    registry.get(12n);
    registry.end();
    expect([registry.get(11n)?.process, registry.get(12n)?.process, registry.get(13n)]).toEqual(["p11", "p12", undefined]);
    expect(registry.generation).toBe(2);
  });
});
