// SPDX-License-Identifier: Apache-2.0
import { BinaryWriter } from "@bufbuild/protobuf/wire";

/** Field numbers and wire types of ingest.proto: StreamSnapshotsRequest.snapshot (2, length-delimited), Snapshot.clock_offset_ms (4, varint). */
const snapshotTag = (2 << 3) | 2;
const clockOffsetTag = (4 << 3) | 0;

/**
 * Wraps an encoded Snapshot into a StreamSnapshotsRequest and gives it a clock offset, without decoding it: fields may come in any order
 * and the last of a scalar holds (protobuf.dev, "Encoding"), so the offset is put behind the bytes.
 */
export function encodeSnapshotRequest(snapshot: Uint8Array, clockOffsetMs: number): Uint8Array {
  const offset = clockOffsetMs === 0 ? new Uint8Array() : new BinaryWriter().uint32(clockOffsetTag).sint64(String(clockOffsetMs)).finish();
  const header = new BinaryWriter().uint32(snapshotTag).uint32(snapshot.length + offset.length).finish();
  const out = new Uint8Array(header.length + snapshot.length + offset.length);
  out.set(header);
  out.set(snapshot, header.length);
  out.set(offset, header.length + snapshot.length);
  return out;
}
