// SPDX-License-Identifier: Apache-2.0
import { randomBytes } from "node:crypto";
import type { BpfMap } from "../libbpf/bpf-map.ts";
import type { StructLayout } from "../libbpf/btf.ts";
import { fieldOf } from "./layout.ts";

const KEY = Buffer.alloc(4);

/** The one struct the programs read before everything else (struct control, packages/bpf/include/maps.bpf.h). */
export class Control {
  readonly #map: BpfMap;
  readonly #layout: StructLayout;
  readonly #bytes: Buffer;

  constructor(map: BpfMap, layout: StructLayout, host: { netnsInum: number; ephemeralPorts: { min: number; max: number }; generation: number }) {
    this.#map = map;
    this.#layout = layout;
    this.#bytes = Buffer.alloc(layout.size);
    randomBytes(8).copy(this.#bytes, fieldOf(layout, "seed").offset);
    this.#set32("window", 1);
    this.#set32("generation", host.generation);
    this.#set32("netns_inum", host.netnsInum);
    this.#bytes.writeUInt16LE(host.ephemeralPorts.min, fieldOf(layout, "ephemeral_port_min").offset);
    this.#bytes.writeUInt16LE(host.ephemeralPorts.max, fieldOf(layout, "ephemeral_port_max").offset);
    this.#write();
  }

  /** The copy that programs write now. */
  get active(): "a" | "b" {
    return this.#bytes.readUInt32LE(fieldOf(this.#layout, "active").offset) === 0 ? "a" : "b";
  }

  /** Lets the programs write the other copy. Returns the one that is idle after a grace period. */
  flip(generation: number): "a" | "b" {
    const idle = this.active;
    this.#set32("active", idle === "a" ? 1 : 0);
    this.#set32("window", (this.#bytes.readUInt32LE(fieldOf(this.#layout, "window").offset) + 1) >>> 0);
    this.#set32("generation", generation);
    this.#write();
    return idle;
  }

  /** While priming, the inventory takes notes of what it is told to and counts nothing. */
  setPriming(stage: "off" | "listeners" | "connections"): void {
    this.#set32("priming", { off: 0, listeners: 1, connections: 2 }[stage]);
    this.#write();
  }

  #set32(name: string, value: number): void {
    this.#bytes.writeUInt32LE(value, fieldOf(this.#layout, name).offset);
  }

  #write(): void {
    this.#map.set(KEY, this.#bytes);
  }
}
