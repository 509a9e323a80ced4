// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { isTextAt, textOf } from "./c-text.ts";

describe("isTextAt", () => {
  const field = (bytes: string | readonly number[], size = 8): Buffer => {
    const buffer = Buffer.alloc(size + 4, 0xee);
    buffer.fill(0, 4);
    buffer.set(typeof bytes === "string" ? Buffer.from(bytes) : bytes, 4);
    return buffer;
  };

  it("says yes to the text that the field holds, however long", () => {
    for (const text of ["", "a", "/etc", "12345678"]) expect(isTextAt(field(text), 4, 8, text)).toBe(true);
  });

  it("says no to a beginning, to more than there is, and to another text", () => {
    const bytes = field("/etc/a");
    for (const text of ["/etc", "/etc/ab", "/etc/b", "", "/etc/a\0"]) expect(isTextAt(bytes, 4, 8, text)).toBe(false);
    expect(isTextAt(field("12345678"), 4, 8, "123456789")).toBe(false);
  });

  it("says no where a byte is no character of its own, even if its number is the character's", () => {
    const bytes = field([0xe9]);
    expect(textOf(bytes.subarray(4))).not.toBe("\u00e9");
    expect(isTextAt(bytes, 4, 8, "\u00e9")).toBe(false);
  });
});
