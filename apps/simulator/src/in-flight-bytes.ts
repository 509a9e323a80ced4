// SPDX-License-Identifier: Apache-2.0

/** Bytes of frames sent and not answered, over all hosts of the fleet: ten thousand hosts at their own limits would be more than any API holds. */
export class InFlightBytes {
  readonly #max: number;
  #taken = 0;

  constructor(max: number) {
    this.#max = max;
  }

  get isFull(): boolean {
    return this.#taken >= this.#max;
  }

  take(bytes: number): void {
    this.#taken += bytes;
  }

  release(bytes: number): void {
    this.#taken -= bytes;
  }
}
