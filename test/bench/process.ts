import { readFileSync } from 'node:fs'

/** Linux only: https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html */
const CLOCK_TICKS_PER_S = 100

/** User and system time of a process. */
export function cpuSecondsOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
  return (Number(fields[11]) + Number(fields[12])) / CLOCK_TICKS_PER_S
}

/** What of a process is in memory; `peak` is the most that ever was. */
export function rssMb(pid: number, which: 'now' | 'peak'): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  const field = which === 'now' ? /VmRSS:\s+(\d+)/ : /VmHWM:\s+(\d+)/
  return Number(field.exec(status)?.[1] ?? 0) / 1024
}
