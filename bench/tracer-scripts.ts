// SPDX-License-Identifier: Apache-2.0
/**
 * What bpftrace has to be told to answer the questions that our programs answer. As much of a question as tracepoints can answer: this project
 * needs no kprobe, and neither do these. What they leave out is said beside the comparison (probe-subjects.ts). Maps are named apart, so that several scripts can
 * be one (throughput.ts).
 */

const callsEntered = `
tracepoint:raw_syscalls:sys_enter { @entered[tid] = nsecs; }`;

const callsLeft = `
  @latency[comm, args->id] = hist(nsecs - @entered[tid]); @calls[comm, args->id] = count(); delete(@entered[tid]);
  if (args->ret < 0) { @errors[comm, args->id, args->ret] = count(); }`;

/** syscalls, syscall_latency, syscall_errors. */
export const callScript = `${callsEntered}
tracepoint:raw_syscalls:sys_exit /@entered[tid]/ {${callsLeft}
}`;

/** The same, and bytes by process, descriptor and call, of the calls that read and write (x86-64's numbers). */
export const fileScript = `
tracepoint:raw_syscalls:sys_enter {
  @entered[tid] = nsecs;
  if (args->id == 0 || args->id == 1 || args->id == 17 || args->id == 18) { @descriptor[tid] = args->args[0]; }
}
tracepoint:raw_syscalls:sys_exit /@entered[tid]/ {${callsLeft}
  if ((args->id == 0 || args->id == 1 || args->id == 17 || args->id == 18) && args->ret >= 0) {
    @bytes[comm, @descriptor[tid], args->id] = sum(args->ret); @operations[comm, @descriptor[tid], args->id] = count();
  }
}`;

/** The same as callScript, and what was opened, or could not be, by the path as it was written. */
export const openScript = `
tracepoint:raw_syscalls:sys_enter { @entered[tid] = nsecs; if (args->id == 257) { @path[tid] = args->args[1]; } }
tracepoint:raw_syscalls:sys_exit /@entered[tid]/ {${callsLeft}
  if (args->id == 257) {
    if (args->ret < 0) { @failed[comm, str(@path[tid]), args->ret] = count(); } else { @opened[comm, str(@path[tid])] = count(); }
    delete(@path[tid]);
  }
}`;

/** The same as callScript, and datagrams and bytes by process, descriptor and direction. */
export const datagramScript = `
tracepoint:raw_syscalls:sys_enter { @entered[tid] = nsecs; if (args->id == 44 || args->id == 45) { @descriptor[tid] = args->args[0]; } }
tracepoint:raw_syscalls:sys_exit /@entered[tid]/ {${callsLeft}
  if ((args->id == 44 || args->id == 45) && args->ret >= 0) {
    @bytes[comm, @descriptor[tid], args->id] = sum(args->ret); @datagrams[comm, @descriptor[tid], args->id] = count();
  }
}`;

/** tcp_connections, tcp_connect_latency, tcp_connect_failures, tcp_rtt as far as a connection's beginning and end tell. */
export const connectionScript = `
tracepoint:sock:inet_sock_set_state /args->protocol == 6/ {
  $sk = (struct sock *)args->skaddr;
  $tp = (struct tcp_sock *)args->skaddr;
  $peer = $sk->__sk_common.skc_daddr;
  if (args->newstate == 2) { @who[args->skaddr] = comm; @began[args->skaddr] = nsecs; }
  if (args->newstate == 10) { @listener[args->sport] = comm; }
  if (args->newstate == 1) {
    if (args->oldstate == 2) {
      @opened[@who[args->skaddr], $peer, args->dport] = count();
      @connect[@who[args->skaddr], $peer, args->dport] = hist(nsecs - @began[args->skaddr]);
    } else {
      @who[args->skaddr] = @listener[args->sport];
      @accepted[@who[args->skaddr], $peer, args->sport] = count();
    }
  }
  if (args->newstate == 7 && args->oldstate != 10) {
    if (args->oldstate == 2) {
      @failed[@who[args->skaddr], $peer, args->dport, $sk->sk_err] = count();
    } else {
      @closed[@who[args->skaddr], $peer, args->dport] = count();
      @sent[@who[args->skaddr], $peer, args->dport] = sum($tp->bytes_acked);
      @received[@who[args->skaddr], $peer, args->dport] = sum($tp->bytes_received);
      @segments_sent[@who[args->skaddr], $peer, args->dport] = sum($tp->segs_out);
      @segments_received[@who[args->skaddr], $peer, args->dport] = sum($tp->segs_in);
      @again[@who[args->skaddr], $peer, args->dport] = sum($tp->total_retrans);
      @rtt[@who[args->skaddr], $peer, args->dport] = hist($tp->srtt_us >> 3);
    }
    delete(@who[args->skaddr]); delete(@began[args->skaddr]);
  }
}`;

/** tcp_retransmits by process and peer; the socket's owner as connectionScript knows it. */
export const retransmitScript = `
tracepoint:sock:inet_sock_set_state { if (args->newstate == 2) { @who[args->skaddr] = comm; } if (args->newstate == 7) { delete(@who[args->skaddr]); } }
tracepoint:tcp:tcp_retransmit_skb { $sk = (struct sock *)args->skaddr; @again[@who[args->skaddr], $sk->__sk_common.skc_daddr, args->dport, args->state] = count(); }
tracepoint:tcp:tcp_retransmit_synack { $sk = (struct sock *)args->skaddr; @synack[$sk->__sk_common.skc_daddr, args->sport] = count(); }`;

/** Entered congestion states by owner. */
export const congestionScript = `
tracepoint:sock:inet_sock_set_state { if (args->newstate == 2) { @who[args->skaddr] = comm; } if (args->newstate == 7) { delete(@who[args->skaddr]); } }
tracepoint:tcp:tcp_cong_state_set { @entered[@who[args->skaddr], args->cong_state] = count(); }`;

/** Resets sent by reason, state and address (of a struct sockaddr_in), and received by address and ports. */
export const resetScript = `
tracepoint:tcp:tcp_send_reset { @sent[args->reason, args->state, args->daddr[4], args->daddr[5], args->daddr[6], args->daddr[7]] = count(); }
tracepoint:tcp:tcp_receive_reset { @received[ntop(args->daddr), args->sport, args->dport] = count(); }`;

/** Drops by reason and ethertype. */
export const dropScript = `
tracepoint:skb:kfree_skb { @drops[args->reason, args->protocol] = count(); @dropped_bytes[args->reason, args->protocol] = sum(((struct sk_buff *)args->skbaddr)->len); }`;

/** Datagrams that a full socket did not take, by port. */
export const fullQueueScript = "tracepoint:udp:udp_fail_queue_rcv_skb { @full[args->dport, args->rc] = count(); }";

/** Waits for a CPU, and waits of 1 ms and more for anything else, by process. No stacks: bpftrace can take those of the task that leaves only. */
export const switchScript = `
tracepoint:sched:sched_wakeup, tracepoint:sched:sched_wakeup_new { @queued[args->pid] = nsecs; }
tracepoint:sched:sched_switch {
  if (args->prev_state == 0) { @queued[args->prev_pid] = nsecs; } else { @left[args->prev_pid] = nsecs; }
  $queued = @queued[args->next_pid];
  if ($queued) { @wait[args->next_comm] = hist(nsecs - $queued); delete(@queued[args->next_pid]); }
  $left = @left[args->next_pid];
  if ($left) { if (nsecs - $left > 1000000) { @blocked[args->next_comm] = sum(nsecs - $left); } delete(@left[args->next_pid]); }
}`;

/** process_exec and process_exits, and what ended threads used: cpu_time, page_faults. */
export const taskScript = `
tracepoint:task:task_newtask { @made[comm] = count(); }
tracepoint:sched:sched_process_exec { @executed[comm] = count(); }
tracepoint:sched:sched_process_exit {
  $task = (struct task_struct *)curtask;
  @ended[comm, $task->exit_code] = count();
  @cpu[comm] = sum($task->utime + $task->stime);
  @minor[comm] = sum($task->min_flt); @major[comm] = sum($task->maj_flt);
  @voluntary[comm] = sum($task->nvcsw); @involuntary[comm] = sum($task->nivcsw);
}`;

/** Faults by process, one by one. */
export const faultScript = "tracepoint:exceptions:page_fault_user { @faults[comm] = count(); }";

/** Latency by device and operation from the hand-over to the scheduler on, requests and bytes. */
export const blockScript = `
tracepoint:block:block_rq_insert, tracepoint:block:block_rq_issue { if (@issued[args->dev, args->sector] == 0) { @issued[args->dev, args->sector] = nsecs; } }
tracepoint:block:block_rq_complete /@issued[args->dev, args->sector]/ {
  @disk_latency[args->dev, args->rwbs] = hist(nsecs - @issued[args->dev, args->sector]);
  @disk_requests[args->dev, args->rwbs] = count(); @disk_bytes[args->dev, args->rwbs] = sum(args->nr_sector * 512);
  if (args->error != 0) { @disk_errors[args->dev, args->rwbs, args->error] = count(); }
  delete(@issued[args->dev, args->sector]);
}`;

/** From the first raise of a vector on a CPU until it runs there. */
export const softirqScript = `
tracepoint:irq:softirq_raise { if (@raised[cpu, args->vec] == 0) { @raised[cpu, args->vec] = nsecs; } }
tracepoint:irq:softirq_entry /@raised[cpu, args->vec]/ { @softirq_latency[args->vec] = hist(nsecs - @raised[cpu, args->vec]); delete(@raised[cpu, args->vec]); }`;

export const profileScript = "profile:hz:49 /pid != 0/ { @samples[comm, kstack, ustack] = count(); }";
