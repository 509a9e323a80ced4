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
  readonly #modeLayout: StructLayout;
  #switchEpoch = 0;
  readonly #bytes: Buffer;

  constructor(
    map: BpfMap,
    layout: StructLayout,
    modeLayout: StructLayout,
    host: { netnsInum: number; ephemeralPorts: { min: number; max: number }; generation: number; unitHierarchies: readonly number[] },
  ) {
    this.#map = map;
    this.#layout = layout;
    this.#modeLayout = modeLayout;
    this.#bytes = Buffer.alloc(layout.size);
    randomBytes(8).copy(this.#bytes, fieldOf(layout, "seed").offset);
    this.#set32("window", 1);
    this.#set32("generation", host.generation);
    this.#set32("netns_inum", host.netnsInum);
    this.#bytes.writeUInt16LE(host.ephemeralPorts.min, fieldOf(layout, "ephemeral_port_min").offset);
    this.#bytes.writeUInt16LE(host.ephemeralPorts.max, fieldOf(layout, "ephemeral_port_max").offset);
    const hierarchies = fieldOf(layout, "unit_hierarchies");
    for (const [index, id] of host.unitHierarchies.slice(0, hierarchies.size / 4).entries())
      this.#bytes.writeUInt32LE(id, hierarchies.offset + index * 4);
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

  /** Fields of struct window_mode, which say what can be switched. */
  get modeFields(): ReadonlySet<string> {
    return new Set(this.#modeLayout.fields.map(({ name }) => name));
  }

  /** How the windows of a copy are measured: fields of struct window_mode; what is left out is 0. To be written while the copy is idle. */
  setMode(copy: "a" | "b", fields: Readonly<Record<string, number>>): void {
    const at = fieldOf(this.#layout, "modes").offset + (copy === "a" ? 0 : this.#modeLayout.size);
    this.#bytes.fill(0, at, at + this.#modeLayout.size);
    for (const [name, value] of Object.entries(fields)) this.#bytes.writeUInt8(value, at + fieldOf(this.#modeLayout, name).offset);
    this.#bytes.writeUInt32LE(this.#switchEpoch, at + fieldOf(this.#modeLayout, "switch_epoch").offset);
    this.#write();
  }

  /** From the next mode on, nothing is concluded from what sched_switch noted of a task before. */
  forgetSwitches(): void {
    this.#switchEpoch = (this.#switchEpoch + 1) >>> 0;
  }

  /** Time stamps that programs took until now are void: they were off their hooks since. CLOCK_MONOTONIC, as bpf_ktime_get_ns(). */
  forgetStamps(): void {
    this.#bytes.writeBigUInt64LE(process.hrtime.bigint(), fieldOf(this.#layout, "stamps_since_ns").offset);
    this.#write();
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
