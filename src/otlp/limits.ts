/** What one request may hold, and what all of them together may. */

/** Compressed and again after decompression: https://opentelemetry.io/docs/specs/otlp/#otlphttp-request */
export const BODY_BYTES_MAX = 16 * 2 ** 20

/** A body of the largest size holds this many items of 64 bytes; smaller ones carry nothing of use. */
export const ITEMS_MAX = BODY_BYTES_MAX / 64

/** Lists in lists in lists: nobody sends them deep in earnest. */
export const VALUE_DEPTH_MAX = 32
export const ATTRIBUTES_MAX = 256
export const LIST_ITEMS_MAX = 256
/** Longer texts are content, which is kept from nothing but memory: their beginning is enough. */
export const TEXT_LENGTH_MAX = 1_024

/** Bodies that are being read or wait to be booked. */
export const IN_FLIGHT_BYTES_MAX = 64 * 2 ** 20
export const IN_FLIGHT_REQUESTS_MAX = 1_024
export const RETRY_AFTER_S = 1

/** Batches that came at once share a transaction up to this size. */
export const GROUP_BYTES_MAX = 4 * 2 ** 20
export const GROUP_REQUESTS_MAX = 64
