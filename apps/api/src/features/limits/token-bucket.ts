// SPDX-License-Identifier: Apache-2.0

/** A budget that fills up steadily. What is taken may exceed what is left: the cost of some things is known only afterwards. */
export class TokenBucket {
  private level: number;
  private atMs: number;
  private rate: number;
  private capacity: number;

  /**
   * @param perSecond what flows in
   * @param burstSeconds for how long of it the bucket has room
   */
  constructor(perSecond: number, burstSeconds: number, nowMs: number) {
    this.rate = perSecond;
    this.capacity = perSecond * burstSeconds;
    this.level = this.capacity;
    this.atMs = nowMs;
  }

  /** Changes the rate; what was used stays used. */
  resize(perSecond: number, burstSeconds: number, nowMs: number): void {
    const capacity = perSecond * burstSeconds;
    if (perSecond === this.rate && capacity === this.capacity) return;
    this.refill(nowMs);
    this.level += capacity - this.capacity;
    this.rate = perSecond;
    this.capacity = capacity;
  }

  /** Takes an amount, whatever is left. */
  take(amount: number, nowMs: number): void {
    this.refill(nowMs);
    this.level -= amount;
  }

  /** True if there was anything left, and then the amount is taken; one larger than the bucket passes when the bucket is full. */
  tryTake(amount: number, nowMs: number): boolean {
    this.refill(nowMs);
    if (this.capacity <= 0 || this.level < Math.min(amount, this.capacity)) return false;
    this.level -= amount;
    return true;
  }

  /** Milliseconds until an amount can be taken; 0: now; infinite: nothing ever flows in. */
  waitMs(amount: number, nowMs: number): number {
    if (this.capacity <= 0) return Number.POSITIVE_INFINITY;
    this.refill(nowMs);
    const missing = Math.min(amount, this.capacity) - this.level;
    return missing <= 0 ? 0 : Math.ceil((missing / this.rate) * 1_000);
  }

  /** What is in use of the capacity; more than it when it was overdrawn. */
  used(nowMs: number): number {
    this.refill(nowMs);
    return this.capacity - this.level;
  }

  /** What can be taken now; 0 when it is overdrawn. */
  left(nowMs: number): number {
    this.refill(nowMs);
    return Math.max(0, this.level);
  }

  /** Seconds until the bucket is full again if nobody takes anything; infinite: never. */
  fullInSeconds(nowMs: number): number {
    this.refill(nowMs);
    if (this.level >= this.capacity) return 0;
    return this.rate <= 0 ? Number.POSITIVE_INFINITY : (this.capacity - this.level) / this.rate;
  }

  private refill(nowMs: number): void {
    // A clock that was set back gives nothing and takes nothing.
    this.level = Math.min(this.capacity, this.level + (Math.max(0, nowMs - this.atMs) / 1_000) * this.rate);
    this.atMs = nowMs;
  }
}
