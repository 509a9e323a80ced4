// SPDX-License-Identifier: Apache-2.0
import type { BpfMap } from "../libbpf/bpf-map.ts";
import { runProgram } from "../libbpf/program-run.ts";
import { textOf } from "../snapshot/c-text.ts";
import { writeKernelAddress } from "./address.ts";
import { frameOf, KERNEL_MARK } from "./frames-text.ts";

const PROGRAM = "on_kernel_symbols";
/** Addresses that are remembered; about 150 bytes each. */
const NAMES_MAX = 16_384;
/** Where the name stands in struct kernel_symbol (packages/bpf/src/profile): behind the address. */
const NAME_AT = 8;
const UNNAMED = `[kernel]${KERNEL_MARK}`;

/**
 * Names of kernel functions by address, asked of the kernel itself. Modules that are unloaded leave their addresses to others, so names are asked for
 * again after a while (`forget`).
 */
export class KernelSymbols {
  readonly #programFd: number | undefined;
  /** An array of struct kernel_symbol. */
  readonly #symbols: BpfMap | undefined;
  readonly #frames = new Map<number, string>();
  /** Why kernel functions have no names, in words; empty if they have. */
  problem = "";

  constructor(programFd: number | undefined, symbols: BpfMap | undefined) {
    this.#programFd = programFd;
    this.#symbols = symbols;
  }

  /** Whether the name is known. */
  has(address: number): boolean {
    return this.#frames.has(address);
  }

  /** Learns the names of those addresses that are not known. Never throws: see `problem`. */
  async learn(addresses: Iterable<number>): Promise<void> {
    const unknown = [...new Set(addresses)].filter((address) => !this.#frames.has(address));
    if (unknown.length === 0) return;
    if (this.#programFd === undefined || this.#symbols === undefined) {
      this.problem = `${PROGRAM} does not run`;
      return;
    }
    if (this.#frames.size + unknown.length > NAMES_MAX) this.#frames.clear();
    try {
      const perRun = this.#symbols.entriesMax;
      for (let from = 0; from < unknown.length; from += perRun) await this.#ask(this.#programFd, this.#symbols, unknown.slice(from, from + perRun));
      this.problem = "";
    } catch (error) {
      this.problem = error instanceof Error ? error.message : String(error);
    }
  }

  async #ask(programFd: number, map: BpfMap, addresses: readonly number[]): Promise<void> {
    const keys = Buffer.from(Uint32Array.from({ length: map.entriesMax }, (_, index) => index).buffer);
    const values = Buffer.alloc(map.entriesMax * map.valueSize);
    addresses.forEach((address, index) => {
      writeKernelAddress(values, address, index * map.valueSize);
    });
    map.setAll(keys, values, map.entriesMax);
    await runProgram(programFd, PROGRAM);
    map.readAll((indexes, symbols, count) => {
      for (let at = 0; at < count; at++) {
        const address = addresses[indexes.readUInt32LE(at * 4)];
        if (address === undefined) continue;
        const name = textOf(symbols.subarray(at * map.valueSize + NAME_AT, (at + 1) * map.valueSize));
        this.#frames.set(address, kernelFrame(name));
      }
    });
  }

  /** The frame at the address. */
  frame(address: number): string {
    return this.#frames.get(address) ?? UNNAMED;
  }

  forget(): void {
    this.#frames.clear();
  }
}

/** A frame out of the kernel's `function+0x1b/0x80 [module]`; a bare address is a place that no function covers. */
export function kernelFrame(line: string): string {
  const parts = /^(.+?)\+0x[0-9a-f]+\/0x[0-9a-f]+(?: \[([^\] ]+)[^\]]*\])?$/.exec(line);
  return parts === null ? UNNAMED : `${frameOf(parts[1] as string, parts[2] ?? "")}${KERNEL_MARK}`;
}
