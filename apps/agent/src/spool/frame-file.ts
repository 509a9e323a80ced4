// SPDX-License-Identifier: Apache-2.0
import { crc32 } from "node:zlib";

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

export interface FrameFile extends FrameInfo {
  /** Encoded waggle.ingest.v1.Snapshot, without clock_offset_ms. */
  readonly payload: Uint8Array;
}

/*
 * Layout, little-endian:
 *   0 magic u32 | 4 payload length u32 | 8 crc32 of payload u32 | 12 flags u32 | 16 offset i64 | 24 shift i64 | 32 boot tag u64 | 40 payload
 * Flags and offset are overwritten in place when the frame is first sent; they lie in one page, and the checksum leaves them out.
 */
const magic = 0x31464757;
export const frameHeaderBytes = 40;
const flagSent = 1;
const flagKnown = 2;

/** Position and length of the part that `encodeStamp` makes. */
export const stampPosition = 12;

export function encodeFrameFile(frame: FrameFile): Buffer {
  const out = Buffer.alloc(frameHeaderBytes + frame.payload.length);
  out.writeUInt32LE(magic, 0);
  out.writeUInt32LE(frame.payload.length, 4);
  out.writeUInt32LE(crc32(frame.payload), 8);
  encodeStamp(frame).copy(out, stampPosition);
  out.writeBigInt64LE(BigInt(frame.shiftMs), 24);
  out.writeBigUInt64LE(frame.bootTag, 32);
  out.set(frame.payload, frameHeaderBytes);
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

/** Returns the frame, or in words why the bytes are none: a file cut short by a full disk or a lost machine, or changed since. */
export function decodeFrameFile(bytes: Buffer): FrameFile | string {
  if (bytes.length < frameHeaderBytes) return `${bytes.length} bytes, shorter than a header`;
  if (bytes.readUInt32LE(0) !== magic) return "does not start like a frame";
  const payload = bytes.subarray(frameHeaderBytes);
  const length = bytes.readUInt32LE(4);
  if (payload.length !== length) return `${payload.length} bytes of payload, the header says ${length}`;
  if (crc32(payload) !== bytes.readUInt32LE(8)) return "checksum does not match";
  const flags = bytes.readUInt32LE(12);
  const offset = Number(bytes.readBigInt64LE(16));
  return {
    payload,
    shiftMs: Number(bytes.readBigInt64LE(24)),
    bootTag: bytes.readBigUInt64LE(32),
    sentOffsetMs: (flags & flagSent) !== 0 ? offset : undefined,
    knownOffsetMs: (flags & flagKnown) !== 0 ? offset : undefined,
  };
}
