export const VERSION = '0.1.0'
export const NODE_FLOOR = '22.19.0'
