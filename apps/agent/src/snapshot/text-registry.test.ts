// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import type { StructLayout } from "../libbpf/btf.ts";
import { TextRegistry } from "./text-registry.ts";

const layout: StructLayout = { name: "text", size: 8, fields: [{ name: "text", offset: 0, size: 8, type: "char[8]" }] };
const register = (registry: TextRegistry, id: bigint, text: string): void => {
  const key = Buffer.alloc(8);
  key.writeBigUInt64LE(id);
  const value = Buffer.alloc(8);
  value.write(text, "utf8");
  registry.add(key, value, 1, layout);
};

describe("TextRegistry", () => {
  it("knows a text in the window it came in and in the next one, and then forgets it", () => {
    const registry = new TextRegistry();
    registry.begin();
    register(registry, 5n, "passwd");
    expect(registry.get(5, 0)).toBe("passwd");
    registry.begin();
    expect(registry.get(5, 0)).toBe("passwd");
    registry.begin();
    expect(registry.get(5, 0)).toBe("");
  });

  it("takes all bytes of a text that fills its field", () => {
    const registry = new TextRegistry();
    registry.begin();
    register(registry, 2n, "12345678");
    expect(registry.get(2, 0)).toBe("12345678");
  });

  it("reads the id of what shares one key as ~other, and id 0 as unknown", () => {
    const registry = new TextRegistry();
    expect(registry.get(1, 0)).toBe("~other");
    expect(registry.get(0, 0)).toBe("");
  });
});
