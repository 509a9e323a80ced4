// SPDX-License-Identifier: Apache-2.0
import { Snapshot, StreamSnapshotsRequest } from "@waggle/proto";
import { describe, expect, it } from "vitest";
import { encodeSnapshotRequest } from "./snapshot-request.ts";

const snapshot = Snapshot.fromPartial({
  sequence: 300n,
  windowStartMs: 1_700_000_000_000n,
  windowMs: 10_000,
  bootId: "boot",
  blocks: [{ signal: "s", schemaHash: "h", rows: 1, columns: [new Uint8Array(40_000).fill(7)] }],
});
const encoded = Snapshot.encode(snapshot).finish();

describe("encodeSnapshotRequest", () => {
  it.each([0, 1, -1, 2_001, 86_400_000, -86_400_000, 4e12, -4e12])("is read by the generated codec with a clock offset of %d ms", (offset) => {
    const request = StreamSnapshotsRequest.decode(encodeSnapshotRequest(encoded, offset));
    expect(request.message).toEqual({ $case: "snapshot", value: { ...snapshot, clockOffsetMs: BigInt(offset) } });
  });

  it("equals the generated encoding when there is nothing to correct", () => {
    expect(Buffer.from(encodeSnapshotRequest(encoded, 0))).toEqual(
      Buffer.from(StreamSnapshotsRequest.encode({ message: { $case: "snapshot", value: snapshot } }).finish()),
    );
  });
});
