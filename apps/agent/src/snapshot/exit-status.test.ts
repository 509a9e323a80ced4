// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { exitStatusText } from "./exit-status.ts";

describe("exitStatusText", () => {
  it("gives exit codes as numbers and signals by name, with or without a core dump", () => {
    expect([0x0000, 0x0100, 0x7f00, 0xff00].map(exitStatusText)).toEqual(["0", "1", "127", "255"]);
    expect([9, 15, 6, 11 | 0x80].map(exitStatusText)).toEqual(["SIGKILL", "SIGTERM", "SIGABRT", "SIGSEGV"]);
    expect(exitStatusText(40)).toBe("SIG40");
  });
});
