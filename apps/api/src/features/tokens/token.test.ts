// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { hashToken, isWellFormed, mintToken } from "./token.ts";

describe("mintToken", () => {
  it("makes tokens that are well-formed for their own kind only", () => {
    const token = mintToken("hst");
    expect(token).toMatch(/^wgl_hst_[0-9A-Za-z]{38}$/);
    expect(isWellFormed(token, "hst")).toBe(true);
    expect(isWellFormed(token, "adm")).toBe(false);
  });

  it("never makes the same twice", () => {
    expect(new Set(Array.from({ length: 100 }, () => mintToken("adm"))).size).toBe(100);
  });
});

describe("isWellFormed", () => {
  it("notices one changed character anywhere", () => {
    const token = mintToken("adm");
    for (let at = 8; at < token.length; at++) {
      const changed = token.slice(0, at) + (token[at] === "a" ? "b" : "a") + token.slice(at + 1);
      expect(isWellFormed(changed, "adm")).toBe(false);
    }
  });

  it("refuses a cut token and an empty one", () => {
    expect(isWellFormed(mintToken("adm").slice(0, -1), "adm")).toBe(false);
    expect(isWellFormed("", "adm")).toBe(false);
  });
});

describe("hashToken", () => {
  it("is SHA-256 in hex", () => {
    expect(hashToken("abc")).toBe("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  });
});
