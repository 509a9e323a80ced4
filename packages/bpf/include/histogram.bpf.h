/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * OpenTelemetry's base-2 exponential grid at scale 3, upper bounds inclusive: the same function as bucketIndex() in
 * packages/signals/src/histogram.ts, which is the reference it is tested against.
 */
#ifndef WAGGLE_HISTOGRAM_BPF_H
#define WAGGLE_HISTOGRAM_BPF_H

#define BUCKETS_PER_OCTAVE 8
#define BUCKET_COUNT 512
/* The event was counted but not measured. */
#define BUCKET_NONE 0xffff

/* floor(2^(j/8) * 2^31) for j = 1..7 */
#define MANTISSA_1 2341847523u
#define MANTISSA_2 2553802833u
#define MANTISSA_3 2784941737u
#define MANTISSA_4 3037000499u
#define MANTISSA_5 3311872529u
#define MANTISSA_6 3611622602u
#define MANTISSA_7 3938502375u

/* What every bucketed map holds per bucket; totals are sums over buckets. */
struct histogram_value {
	__u64 count;
	__u64 sum;
	__u64 min;
	__u64 max;
};

static __always_inline __u16 bucket_index(__u64 value)
{
	if (value <= 1)
		return 0;

	/*
	 * One comparison a step, whose result shifts: with `if (rest >> 32) { rest >>= 32; msb += 32; }` clang asks twice, and on Linux 6.1 the second
	 * answer came out as true whatever the value (the verifier takes it for settled, as far as the code tells), so that values below 2^32 got the bucket of values 2^32 times as large (fsync_latency there).
	 */
	__u64 rest = value;
	__u32 msb = 0;
	__u32 step_bits = (rest > 0xffffffffull) << 5;
	rest >>= step_bits;
	msb |= step_bits;
	step_bits = (rest > 0xffff) << 4;
	rest >>= step_bits;
	msb |= step_bits;
	step_bits = (rest > 0xff) << 3;
	rest >>= step_bits;
	msb |= step_bits;
	step_bits = (rest > 0xf) << 2;
	rest >>= step_bits;
	msb |= step_bits;
	step_bits = (rest > 3) << 1;
	rest >>= step_bits;
	msb |= step_bits;
	msb |= rest > 1;

	if ((value & (value - 1)) == 0)
		return msb * BUCKETS_PER_OCTAVE - 1;

	/* The leading bit moves to position 31, so that 32 bits of mantissa decide. */
	__u32 mantissa = (value << (63 - msb)) >> 32;
	__u32 step;
	if (mantissa > MANTISSA_4)
		step = mantissa > MANTISSA_6 ? (mantissa > MANTISSA_7 ? 7 : 6) : (mantissa > MANTISSA_5 ? 5 : 4);
	else
		step = mantissa > MANTISSA_2 ? (mantissa > MANTISSA_3 ? 3 : 2) : (mantissa > MANTISSA_1 ? 1 : 0);
	return msb * BUCKETS_PER_OCTAVE + step;
}

/* Two CPUs may hold the same slot. Four tries: a loser of four races in a row leaves a neighbour's extreme, within the same bucket. */
#define EXTREME_TRIES 4

static __always_inline void histogram_extremes(struct histogram_value *slot, __u64 value)
{
#pragma unroll
	for (int i = 0; i < EXTREME_TRIES; i++) {
		__u64 seen = *(volatile __u64 *)&slot->min;
		if (value >= seen || __sync_val_compare_and_swap(&slot->min, seen, value) == seen)
			break;
	}
#pragma unroll
	for (int i = 0; i < EXTREME_TRIES; i++) {
		__u64 seen = *(volatile __u64 *)&slot->max;
		if (value <= seen || __sync_val_compare_and_swap(&slot->max, seen, value) == seen)
			break;
	}
}

/* `shift`: the event stands for 2^shift of its kind (sampling.bpf.h). */
static __always_inline void histogram_add_sampled(struct histogram_value *slot, __u64 value, __u32 shift)
{
	__sync_fetch_and_add(&slot->count, 1ull << shift);
	__sync_fetch_and_add(&slot->sum, value << shift);
	histogram_extremes(slot, value);
}

static __always_inline void histogram_add(struct histogram_value *slot, __u64 value)
{
	histogram_add_sampled(slot, value, 0);
}

/* Several events of which only the sum is known; `value` is their average. */
static __always_inline void histogram_add_several(struct histogram_value *slot, __u64 value, __u64 count, __u64 sum)
{
	__sync_fetch_and_add(&slot->count, count);
	__sync_fetch_and_add(&slot->sum, sum);
	histogram_extremes(slot, value);
}

#endif
