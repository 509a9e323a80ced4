// SPDX-License-Identifier: Apache-2.0

/**
 * Addresses as plain numbers: the lower 52 bits. That is all of a user address; of a kernel address the bits above are ones.
 */
const HIGH_BITS = 0x000fffff;

export function readAddress(bytes: Buffer, at: number): number {
  return (bytes.readUInt32LE(at + 4) & HIGH_BITS) * 2 ** 32 + bytes.readUInt32LE(at);
}

export function writeKernelAddress(bytes: Buffer, address: number, at: number): void {
  bytes.writeUInt32LE(address % 2 ** 32, at);
  bytes.writeUInt32LE((Math.floor(address / 2 ** 32) | ~HIGH_BITS) >>> 0, at + 4);
}
