// SPDX-License-Identifier: Apache-2.0
import type { BpfMap } from "../libbpf/bpf-map.ts";
import { iterate } from "../libbpf/iteration.ts";
import { writeKernelAddress } from "./address.ts";
import { frameOf, KERNEL_MARK } from "./frames-text.ts";

const PROGRAM = "on_kernel_symbols";
/** Addresses that are remembered; about 150 bytes each. */
const NAMES_MAX = 16_384;
/** Longest line: KSYM_NAME_LEN (512), offset, size, module. */
const LINE_BYTES_MAX = 700;
const UNNAMED = `[kernel]${KERNEL_MARK}`;

/**
 * Names of kernel functions by address, asked of the kernel itself. Modules that are unloaded leave their addresses to others, so names are asked for
 * again after a while (`forget`).
 */
export class KernelSymbols {
  readonly #programFd: number | undefined;
  readonly #addresses: BpfMap | undefined;
  readonly #frames = new Map<number, string>();
  /** Why kernel functions have no names, in words; empty if they have. */
  problem = "";

  constructor(programFd: number | undefined, addresses: BpfMap | undefined) {
    this.#programFd = programFd;
    this.#addresses = addresses;
  }

  /** Learns the names of those addresses that are not known. Never throws: see `problem`. */
  async learn(addresses: Iterable<number>): Promise<void> {
    const unknown = [...new Set(addresses)].filter((address) => !this.#frames.has(address));
    if (unknown.length === 0) return;
    if (this.#programFd === undefined || this.#addresses === undefined) {
      this.problem = `${PROGRAM} does not run`;
      return;
    }
    if (this.#frames.size + unknown.length > NAMES_MAX) this.#frames.clear();
    try {
      const perCall = this.#addresses.entriesMax;
      for (let from = 0; from < unknown.length; from += perCall)
        await this.#ask(this.#programFd, this.#addresses, unknown.slice(from, from + perCall));
      this.problem = "";
    } catch (error) {
      this.problem = error instanceof Error ? error.message : String(error);
    }
  }

  async #ask(programFd: number, map: BpfMap, addresses: readonly number[]): Promise<void> {
    const keys = Buffer.from(Uint32Array.from({ length: map.entriesMax }, (_, index) => index).buffer);
    const values = Buffer.alloc(map.entriesMax * 8);
    addresses.forEach((address, index) => {
      writeKernelAddress(values, address, index * 8);
    });
    map.setAll(keys, values, map.entriesMax);
    const text = await iterate(programFd, PROGRAM, { mapFd: map.fd }, map.entriesMax * LINE_BYTES_MAX);
    const lines = text.toString("latin1").split("\n");
    addresses.forEach((address, index) => {
      this.#frames.set(address, kernelFrame(lines[index] ?? ""));
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
