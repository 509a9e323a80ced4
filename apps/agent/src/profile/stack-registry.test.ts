// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { readAddress, writeKernelAddress } from "./address.ts";
import { kernelFrame } from "./kernel-symbols.ts";
import { StackRegistry } from "./stack-registry.ts";

const field = (name: string, offset: number, size: number) => ({ name, offset, size, type: "" });
const layouts = {
  key: { name: "stack_chunk_key", size: 16, fields: [field("stack_id", 0, 8), field("chunk", 8, 4), field("frames", 12, 4)] },
  value: { name: "stack_chunk", size: 128, fields: [field("frames", 0, 128)] },
};

function add(registry: StackRegistry, id: bigint, addresses: readonly number[], chunks: readonly number[]): void {
  const keys = Buffer.alloc(16 * chunks.length);
  const values = Buffer.alloc(128 * chunks.length);
  chunks.forEach((chunk, index) => {
    keys.writeBigUInt64LE(id, index * 16);
    keys.writeUInt32LE(chunk, index * 16 + 8);
    keys.writeUInt32LE(addresses.length, index * 16 + 12);
    addresses.slice(chunk * 16, chunk * 16 + 16).forEach((address, frame) => {
      values.writeBigUInt64LE(BigInt(address), index * 128 + frame * 8);
    });
  });
  registry.add(keys, values, chunks.length, layouts);
}

describe("StackRegistry", () => {
  const addresses = Array.from({ length: 35 }, (_, index) => 0x7f0000000000 + index);

  it("puts a stack together from its pieces, in whatever order they come", () => {
    const registry = new StackRegistry();
    registry.begin();
    add(registry, 77n, addresses, [2, 0]);
    expect(registry.get(77, 0)).toBeUndefined();
    add(registry, 77n, addresses, [1]);
    expect([...(registry.get(77, 0) ?? [])]).toEqual(addresses);
  });

  it("keeps a stack for the next window, and no longer", () => {
    const registry = new StackRegistry();
    registry.begin();
    add(registry, 77n, [1, 2], [0]);
    registry.begin();
    expect([...(registry.get(77, 0) ?? [])]).toEqual([1, 2]);
    registry.begin();
    expect(registry.get(77, 0)).toBeUndefined();
  });
});

describe("addresses", () => {
  it("of the kernel come back as they were", () => {
    for (const address of [0xffffffff81234567n, 0xffff800012345678n, 0xffffffffc0000001n]) {
      const bytes = Buffer.alloc(8);
      bytes.writeBigUInt64LE(address);
      const copy = Buffer.alloc(8);
      writeKernelAddress(copy, readAddress(bytes, 0), 0);
      expect(copy.readBigUInt64LE(0)).toBe(address);
    }
  });
});

describe("kernelFrame", () => {
  it("is the function, with its module, marked as the kernel's", () => {
    expect(kernelFrame("do_syscall_64+0x5b/0x80")).toBe("do_syscall_64_[k]");
    expect(kernelFrame("ext4_file_read_iter+0x1b/0x120 [ext4]")).toBe("ext4_file_read_iter [ext4]_[k]");
    expect(kernelFrame("ext4_file_read_iter+0x1b/0x120 [ext4 0123abc]")).toBe("ext4_file_read_iter [ext4]_[k]");
  });

  it("is the kernel alone where no function covers the address", () => {
    expect(kernelFrame("0xffffffffc0000001")).toBe("[kernel]_[k]");
    expect(kernelFrame("")).toBe("[kernel]_[k]");
  });
});
