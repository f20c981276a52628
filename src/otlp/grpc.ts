import type { Server } from 'node:http'
import type { Socket } from 'node:net'

/** How every connection over HTTP/2 begins: https://www.rfc-editor.org/rfc/rfc9113#preface */
const PREFACE = 'PRI * HTTP/2.0'

/** What Node answers by itself as long as nobody listens. */
const STATUSES: Readonly<Record<string, string>> = {
  HPE_HEADER_OVERFLOW: '431 Request Header Fields Too Large',
  HPE_CHUNK_EXTENSIONS_OVERFLOW: '413 Payload Too Large',
  ERR_HTTP_REQUEST_TIMEOUT: '408 Request Timeout',
}

type ClientError = NodeJS.ErrnoException & { readonly rawPacket?: Buffer }

/**
 * Notices clients that speak OTLP over gRPC, the default of some (Gemini CLI): HTTP/1.1 cannot answer
 * them, so that they would fail without anybody knowing why.
 */
export function noticeGrpc(server: Server, onGrpc: () => void): void {
  server.on('clientError', (error: ClientError, socket: Socket) => {
    if (error.rawPacket?.toString('latin1', 0, PREFACE.length) === PREFACE) onGrpc()
    const status = STATUSES[error.code ?? ''] ?? '400 Bad Request'
    // Once an answer has begun, its bytes cannot be followed by another one's.
    if (socket.writable && socket.bytesWritten === 0)
      socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\n\r\n`)
    else socket.destroy(error)
  })
}
