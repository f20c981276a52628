/** What one request may hold, and what all of them together may. */

/** Compressed and again after decompression: https://opentelemetry.io/docs/specs/otlp/#otlphttp-request */
export const BODY_BYTES_MAX = 16 * 2 ** 20

/** As many as the largest body holds at 64 bytes each; what is smaller on average says nothing. */
export const ITEMS_MAX = BODY_BYTES_MAX / 64

/** Lists in lists: nobody nests them deeply in earnest. */
export const VALUE_DEPTH_MAX = 32
export const ATTRIBUTES_MAX = 256
export const LIST_ITEMS_MAX = 256
/** Longer texts are content, of which nothing is stored; their beginning tells what they are. */
export const TEXT_LENGTH_MAX = 1_024

/** Bodies that are being read or wait to be booked. */
export const IN_FLIGHT_BYTES_MAX = 64 * 2 ** 20
export const IN_FLIGHT_REQUESTS_MAX = 1_024
export const RETRY_AFTER_S = 1

/** Batches that came at once share a transaction up to this size: nobody else has the store meanwhile. */
export const GROUP_BYTES_MAX = 2 * 2 ** 20
export const GROUP_REQUESTS_MAX = 64
