// SPDX-License-Identifier: Apache-2.0
import { type DimensionName, dimensions, dimensionValues, EPHEMERAL, OTHER } from "@waggle/signals";
import { errnoName } from "../kernel/errno.ts";
import type { KernelNames } from "../kernel/kernel-names.ts";
import type { StructField } from "../libbpf/btf.ts";
import { textOf } from "./c-text.ts";
import { dnsRcodeName, dnsTypeName } from "./dns-name.ts";
import { exitStatusText } from "./exit-status.ts";
import { protocolName } from "./protocol-name.ts";
import { syscallName } from "./syscall-name.ts";

/** Values of __u8 role and __u8 class in the keys (packages/bpf/src/tcp_connection/tcp_connection.h). */
const roles = ["", ...dimensionValues.role] as const;
const classes = dimensionValues.class;

/** Values of __u8 direction and __u8 operation in the keys (packages/bpf/include/key_values.h). */
const directions = ["", ...dimensionValues.direction] as const;
const operations = dimensionValues.operation;

const congestionStates = dimensionValues.congestion_state;

/** Nobody's address: who the peer is was not known. */
const UNKNOWN_ADDRESS = Buffer.alloc(16);
/** PEER_OTHER (packages/bpf/include/maps.bpf.h): peers are not told apart. */
const OTHER_ADDRESS = Buffer.alloc(16, 0xff);

/** Reads one dimension's text out of a key that starts at `at`. */
export type DimensionReader = (keys: Buffer, at: number) => string;

/** What has to be known beyond a key's bytes to write some dimensions as text. */
export interface DimensionNames {
  /** Text that programs registered under an id, given by its halves (`IdMap`); empty if none is known. */
  text(low: number, high: number): string;
  /** Name of a block device by its number. */
  device(number: number): string;
  readonly kernel: KernelNames;
}

/** Whether the same bytes always read alike: not what programs register anew in each window, nor numbers that the kernel gives to another device. */
export function isFixedText(dimension: DimensionName): boolean {
  return dimensions[dimension].registered !== true && dimension !== "device";
}

/** How a dimension is written as text; `process` and `unit` are not here, they come from the registry. */
export function dimensionReader(dimension: DimensionName, field: StructField, names: DimensionNames): DimensionReader {
  const { offset } = field;
  if (dimensions[dimension].registered === true) return (keys, at) => names.text(keys.readInt32LE(at + offset), keys.readInt32LE(at + offset + 4));
  switch (dimension) {
    case "peer":
    case "resolver":
      return (keys, at) => {
        const address = keys.subarray(at + offset, at + offset + 16);
        if (address.equals(UNKNOWN_ADDRESS)) return "";
        return address.equals(OTHER_ADDRESS) ? OTHER : addressText(address);
      };
    case "peer_port":
    case "port":
      return (keys, at) => {
        const port = keys.readUInt16LE(at + offset);
        return port === 0 ? EPHEMERAL : String(port);
      };
    case "role":
      return (keys, at) => roles[keys[at + offset] as number] ?? "";
    case "class":
      return (keys, at) => classes[keys[at + offset] as number] ?? "other";
    case "errno":
      return (keys, at) => {
        const errno = keys.readUInt16LE(at + offset);
        // A connect that ended without an error was given up by its caller.
        return errno === 0 ? "closed" : errnoName(errno);
      };
    case "result":
      return (keys, at) => {
        const errno = keys.readUInt16LE(at + offset);
        return errno === 0 ? "ok" : errnoName(errno);
      };
    case "algorithm":
      return (keys, at) => textOf(keys.subarray(at + offset, at + offset + field.size));
    case "direction":
      return (keys, at) => directions[keys[at + offset] as number] ?? "";
    case "operation":
      return (keys, at) => operations[keys[at + offset] as number] ?? "other";
    case "drop_reason":
      return (keys, at) => names.kernel.dropReason(keys.readUInt32LE(at + offset));
    case "reset_reason":
      return (keys, at) => names.kernel.resetReason(keys.readUInt16LE(at + offset));
    case "congestion_state":
      return (keys, at) => congestionStates[keys[at + offset] as number] ?? "";
    case "protocol":
      return (keys, at) => protocolName(keys.readUInt16LE(at + offset));
    case "softirq":
      return (keys, at) => names.kernel.softirq(keys[at + offset] as number);
    case "query_type":
      return (keys, at) => dnsTypeName(keys.readUInt16LE(at + offset));
    case "rcode":
      return (keys, at) => dnsRcodeName(keys[at + offset] as number);
    case "device":
      return (keys, at) => names.device(keys.readUInt32LE(at + offset));
    case "exit_status":
      return (keys, at) => exitStatusText(keys.readUInt16LE(at + offset));
    case "syscall":
      return (keys, at) => syscallName(keys.readUInt32LE(at + offset));
    default:
      throw new TypeError(`dimension ${dimension} is not read from a BPF key`);
  }
}

/** Text of a 16-byte address: IPv4 if it is IPv4-mapped, else IPv6 by RFC 5952. */
export function addressText(bytes: Uint8Array): string {
  const isMapped = bytes.subarray(0, 10).every((byte) => byte === 0) && bytes[10] === 0xff && bytes[11] === 0xff;
  if (isMapped) return bytes.subarray(12, 16).join(".");
  const groups: number[] = [];
  for (let i = 0; i < 16; i += 2) groups.push(((bytes[i] as number) << 8) | (bytes[i + 1] as number));
  let longest = { at: -1, length: 1 };
  for (let i = 0; i < 8; i++) {
    let length = 0;
    while (i + length < 8 && groups[i + length] === 0) length++;
    if (length > longest.length) longest = { at: i, length };
    i += length;
  }
  const hex = groups.map((group) => group.toString(16));
  if (longest.at < 0) return hex.join(":");
  return `${hex.slice(0, longest.at).join(":")}::${hex.slice(longest.at + longest.length).join(":")}`;
}
