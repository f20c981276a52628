export type LogFields = Readonly<Record<string, string | number | boolean | null | undefined>>

/** One line a fact, on stderr: stdout belongs to the protocol. Fields never hold secrets or content. */
export type Log = {
  info(message: string, fields?: LogFields): void
  warn(message: string, fields?: LogFields): void
}

export function createLog(write: (line: string) => void): Log {
  const line = (level: string, message: string, fields: LogFields = {}) => {
    const pairs = Object.entries(fields).filter(([, value]) => value !== undefined)
    write(
      [`outlay ${level}: ${message}`, ...pairs.map(([key, value]) => `${key}=${value}`)].join(' '),
    )
  }
  return {
    info: (message, fields) => line('info', message, fields),
    warn: (message, fields) => line('warning', message, fields),
  }
}

export const silentLog: Log = { info() {}, warn() {} }
