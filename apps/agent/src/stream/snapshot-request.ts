// SPDX-License-Identifier: Apache-2.0
import { writeVarint } from "@waggle/signals";

/** Field numbers and wire types of ingest.proto: StreamSnapshotsRequest.snapshot (2, length-delimited), Snapshot.clock_offset_ms (4, varint). */
const snapshotTag = (2 << 3) | 2;
const clockOffsetTag = (4 << 3) | 0;

/**
 * Wraps an encoded Snapshot into a StreamSnapshotsRequest and gives it a clock offset, without decoding it: fields may come in any order
 * and the last of a scalar holds (protobuf.dev, "Encoding"), so the offset is put behind the bytes.
 */
export function encodeSnapshotRequest(snapshot: Uint8Array, clockOffsetMs: number): Uint8Array {
  const suffix = new Uint8Array(11);
  let suffixBytes = 0;
  if (clockOffsetMs !== 0) {
    suffix[0] = clockOffsetTag;
    // sint64 is zigzag-encoded. Offsets stay far below 2^52 ms, so doubles hold them.
    suffixBytes = writeVarint(suffix, 1, clockOffsetMs < 0 ? -2 * clockOffsetMs - 1 : 2 * clockOffsetMs);
  }
  const out = new Uint8Array(11 + snapshot.length + suffixBytes);
  out[0] = snapshotTag;
  const headerBytes = writeVarint(out, 1, snapshot.length + suffixBytes);
  out.set(snapshot, headerBytes);
  out.set(suffix.subarray(0, suffixBytes), headerBytes + snapshot.length);
  return out.subarray(0, headerBytes + snapshot.length + suffixBytes);
}
