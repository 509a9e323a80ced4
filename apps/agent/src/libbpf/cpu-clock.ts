// SPDX-License-Identifier: Apache-2.0
import { readFileSync, readSync } from "node:fs";
import { BpfError } from "./error.ts";
import { getLibc, lastErrno } from "./symbols.ts";

/** include/uapi/linux/perf_event.h */
const ATTRIBUTE_BYTES = 64;
const PERF_TYPE_SOFTWARE = 1;
const PERF_COUNT_SW_CPU_CLOCK = 0;
const PERF_ATTR_DISABLED = 1n << 0n;
const PERF_ATTR_EXCLUDE_IDLE = 1n << 7n;
const PERF_ATTR_FREQ = 1n << 10n;
const PERF_FLAG_FD_CLOEXEC = 8;
const PERF_EVENT_IOC_ENABLE = 0x2400;
const PERF_EVENT_IOC_SET_BPF = 0x40042408;
/** The call's number by architecture, as Node.js names it. */
const callNumbers: Readonly<Record<string, number>> = { x64: 298, arm64: 241 };

const ONLINE_PATH = "/sys/devices/system/cpu/online";

/** CPUs out of a list such as `0-3,5`. */
export function parseCpuList(text: string): number[] {
  return text
    .trim()
    .split(",")
    .filter((part) => part !== "")
    .flatMap((part) => {
      const [first, last = first] = part.split("-").map(Number) as [number, number?];
      return Array.from({ length: last - first + 1 }, (_, index) => first + index);
    });
}

interface CpuEvent {
  readonly fd: number;
  /** What the kernel says the event has counted (ns): it stands still when the CPU was taken away, also if it came back since. */
  counted: bigint;
}

/**
 * A software clock on each CPU that runs a BPF program at a fixed rate while the CPU is not idle. Needs CAP_PERFMON. The events hold the program.
 */
export class CpuClock implements Disposable {
  readonly #program: string;
  readonly #programFd: number;
  readonly #hz: number;
  readonly #events = new Map<number, CpuEvent>();
  readonly #count = Buffer.alloc(8);

  /** Starts on all CPUs that are online. Throws a BpfError{op: "attach"} if one refuses. `programFd` stays the caller's, and has to stay open. */
  constructor(program: string, programFd: number, hz: number) {
    this.#program = program;
    this.#programFd = programFd;
    this.#hz = hz;
    try {
      this.refresh();
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  get cpus(): number {
    return this.#events.size;
  }

  /** Follows CPUs that were taken away or came. Throws as the constructor does; what runs goes on. */
  refresh(): void {
    const online = parseCpuList(readFileSync(ONLINE_PATH, "latin1"));
    for (const [cpu, event] of this.#events) {
      if (online.includes(cpu) && this.#isCounting(event)) continue;
      getLibc().close(event.fd);
      this.#events.delete(cpu);
    }
    for (const cpu of online) if (!this.#events.has(cpu)) this.#events.set(cpu, { fd: this.#open(cpu), counted: -1n });
  }

  #isCounting(event: CpuEvent): boolean {
    if (readSync(event.fd, this.#count, 0, 8, null) !== 8) return false;
    const counted = this.#count.readBigUInt64LE(0);
    const isCounting = counted !== event.counted;
    event.counted = counted;
    return isCounting;
  }

  #open(cpu: number): number {
    const call = callNumbers[process.arch];
    if (call === undefined) throw new Error(`perf_event_open has no known number on ${process.arch}`);
    const attributes = Buffer.alloc(ATTRIBUTE_BYTES);
    attributes.writeUInt32LE(PERF_TYPE_SOFTWARE, 0);
    attributes.writeUInt32LE(ATTRIBUTE_BYTES, 4);
    attributes.writeBigUInt64LE(BigInt(PERF_COUNT_SW_CPU_CLOCK), 8);
    attributes.writeBigUInt64LE(BigInt(this.#hz), 16);
    attributes.writeBigUInt64LE(PERF_ATTR_DISABLED | PERF_ATTR_EXCLUDE_IDLE | PERF_ATTR_FREQ, 40);
    const fd = getLibc().perf_event_open(call, attributes, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC);
    if (fd < 0) throw new BpfError("attach", lastErrno(), `${this.#program} to the clock of CPU ${cpu}`);
    for (const [request, argument] of [
      [PERF_EVENT_IOC_SET_BPF, this.#programFd],
      [PERF_EVENT_IOC_ENABLE, 0],
    ] as const) {
      if (getLibc().ioctl(fd, request, argument) >= 0) continue;
      const error = new BpfError("attach", lastErrno(), `${this.#program} to the clock of CPU ${cpu}`);
      getLibc().close(fd);
      throw error;
    }
    return fd;
  }

  [Symbol.dispose](): void {
    for (const { fd } of this.#events.values()) getLibc().close(fd);
    this.#events.clear();
  }
}
