// SPDX-License-Identifier: Apache-2.0
import { crc32 } from "node:zlib";

/** What a frame speaks for. */
export interface FrameExtent {
  /** Start on the host's clock, Unix milliseconds. */
  readonly windowStartMs: number;
  /** Whole length, milliseconds. */
  readonly windowMs: number;
  /** How many of the agent's windows were merged into it; 1 if none. */
  readonly windows: number;
  /** Rows of all its blocks. */
  readonly rows: number;
  /** The last sequence whose windows are in it; its own unless frames were merged. */
  readonly throughSequence: number;
}

/**
 * What the spool knows about a frame besides its bytes. Kept apart from them, so that correcting the clock re-encodes nothing.
 */
export interface FrameInfo {
  /** `ClosedWindow.shiftMs` of the window. */
  readonly shiftMs: number;
  /** Names the boot that `shiftMs` counts from: the first 8 bytes of the boot id. */
  readonly bootTag: bigint;
  /** Clock offset the frame was first sent with; undefined until it is sent. A second copy must carry the same, or it would be stored twice. */
  readonly sentOffsetMs?: number | undefined;
  /** Best known offset when the window ended; what remains to go by once the host has rebooted. */
  readonly knownOffsetMs?: number | undefined;
}

/** A frame file's header; `extent` is undefined in files of format 1, which did not say. */
export interface FrameHeader extends FrameInfo {
  readonly extent: FrameExtent | undefined;
}

export interface FrameFile extends FrameHeader {
  /** Encoded waggle.ingest.v1.Snapshot, without clock_offset_ms. */
  readonly payload: Uint8Array;
}

/*
 * Layout of format 2, little-endian:
 *   0 magic u32 | 4 payload length u32 | 8 crc32 u32 | 12 flags u32 | 16 offset i64 | 24 shift i64 | 32 boot tag u64 | 40 window start i64 |
 *   48 through sequence u64 | 56 window length u32 | 60 windows u32 | 64 rows u32 | 68 zero u32 | 72 payload
 * Flags and offset are overwritten in place when the frame is first sent; they lie in one page, and the checksum leaves them out: it is of everything from
 * byte 24 on. Format 1 had the payload at byte 40 and the checksum of it alone; its files are still read, as an update must not lose what waits.
 */
const magic1 = 0x31464757;
const magic2 = 0x32464757;
const headerBytes1 = 40;
export const frameHeaderBytes = 72;
const checkedFrom = 24;
const flagSent = 1;
const flagKnown = 2;

/** Position and length of the part that `encodeStamp` makes. */
export const stampPosition = 12;

export function encodeFrameFile(frame: FrameFile & { readonly extent: FrameExtent }): Buffer {
  const { extent, payload } = frame;
  const out = Buffer.alloc(frameHeaderBytes + payload.length);
  out.writeUInt32LE(magic2, 0);
  out.writeUInt32LE(payload.length, 4);
  encodeStamp(frame).copy(out, stampPosition);
  out.writeBigInt64LE(BigInt(frame.shiftMs), 24);
  out.writeBigUInt64LE(frame.bootTag, 32);
  out.writeBigInt64LE(BigInt(extent.windowStartMs), 40);
  out.writeBigUInt64LE(BigInt(extent.throughSequence), 48);
  out.writeUInt32LE(extent.windowMs, 56);
  out.writeUInt32LE(extent.windows, 60);
  out.writeUInt32LE(extent.rows, 64);
  out.set(payload, frameHeaderBytes);
  out.writeUInt32LE(crc32(out.subarray(checkedFrom)), 8);
  return out;
}

/** The changeable part of the header. */
export function encodeStamp(info: Pick<FrameInfo, "sentOffsetMs" | "knownOffsetMs">): Buffer {
  const out = Buffer.alloc(12);
  const flags = (info.sentOffsetMs === undefined ? 0 : flagSent) | (info.knownOffsetMs === undefined ? 0 : flagKnown);
  out.writeUInt32LE(flags, 0);
  out.writeBigInt64LE(BigInt(info.sentOffsetMs ?? info.knownOffsetMs ?? 0), 4);
  return out;
}

/**
 * Reads the header at the start of `bytes` (at least `frameHeaderBytes` of the file, or all of it); in words why there is none. The checksum is
 * not looked at: a file that is cut behind its header still says what it was.
 */
export function decodeFrameHeader(bytes: Buffer): FrameHeader | string {
  if (bytes.length < headerBytes1) return `${bytes.length} bytes, shorter than a header`;
  const magic = bytes.readUInt32LE(0);
  if (magic !== magic1 && magic !== magic2) return "does not start like a frame";
  if (magic === magic2 && bytes.length < frameHeaderBytes) return `${bytes.length} bytes, shorter than a header`;
  const extent = magic === magic1 ? undefined : decodeExtent(bytes);
  if (extent !== undefined && (extent.windows < 1 || extent.windows > extent.windowMs || !Number.isSafeInteger(extent.windowStartMs)))
    return "its header makes no sense";
  const flags = bytes.readUInt32LE(12);
  const offset = Number(bytes.readBigInt64LE(16));
  return {
    shiftMs: Number(bytes.readBigInt64LE(24)),
    bootTag: bytes.readBigUInt64LE(32),
    sentOffsetMs: (flags & flagSent) !== 0 ? offset : undefined,
    knownOffsetMs: (flags & flagKnown) !== 0 ? offset : undefined,
    extent,
  };
}

function decodeExtent(bytes: Buffer): FrameExtent {
  return {
    windowStartMs: Number(bytes.readBigInt64LE(40)),
    throughSequence: Number(bytes.readBigUInt64LE(48)),
    windowMs: bytes.readUInt32LE(56),
    windows: bytes.readUInt32LE(60),
    rows: bytes.readUInt32LE(64),
  };
}

/** Returns the frame, or in words why the bytes are none: a file cut short by a full disk or a lost machine, or changed since. */
export function decodeFrameFile(bytes: Buffer): FrameFile | string {
  const header = decodeFrameHeader(bytes);
  if (typeof header === "string") return header;
  const payload = bytes.subarray(header.extent === undefined ? headerBytes1 : frameHeaderBytes);
  const length = bytes.readUInt32LE(4);
  if (payload.length !== length) return `${payload.length} bytes of payload, the header says ${length}`;
  if (crc32(header.extent === undefined ? payload : bytes.subarray(checkedFrom)) !== bytes.readUInt32LE(8)) return "checksum does not match";
  return { ...header, payload };
}
