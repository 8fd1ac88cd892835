import type { LanguageModelV4FilePart } from '@ai-sdk/provider'
import { AppError } from '../../errors.ts'
import type { Part } from '../../items.ts'

/** Which URLs the provider fetches itself, by media type. */
export type SupportedUrls = Record<string, RegExp[]>

type MediaPart = Exclude<Part, { type: 'text' }>

/** Throws `input_not_accepted` where the part is a URL that the model does not fetch: nobody else fetches what a caller names. */
export function encodeMedia(part: MediaPart, supportedUrls: SupportedUrls): LanguageModelV4FilePart {
  const filename = part.type === 'file' ? part.filename : undefined
  const rest = filename === undefined ? {} : { filename }
  if (/^data:/i.test(part.url)) {
    const { mediaType, base64 } = parseDataUrl(part.url)
    const data = { type: 'data', data: base64 } as const
    return { type: 'file', mediaType: part.media_type ?? (mediaType || anyOf(part)), data, ...rest }
  }
  const url = URL.parse(part.url)
  const mediaType = part.media_type ?? typeByName(url?.pathname ?? '') ?? anyOf(part)
  if (!url || !isSupported(part.url, { mediaType, supportedUrls })) throw refusal(part)
  return { type: 'file', mediaType, data: { type: 'url', url }, ...rest }
}

function anyOf(part: MediaPart): string {
  return part.type === 'image' ? 'image/*' : 'application/octet-stream'
}

/** Providers that fetch pictures may have to be told of what kind they are; a URL's path mostly says it. */
function typeByName(path: string): string | undefined {
  const extension = /\.([a-z]{3,4})$/i.exec(path)?.[1]?.toLowerCase() ?? ''
  if (extension === 'jpg') return 'image/jpeg'
  return ['png', 'jpeg', 'gif', 'webp', 'bmp', 'heic'].includes(extension) ? `image/${extension}` : undefined
}

function refusal(part: MediaPart): AppError {
  const message = `The model does not fetch ${part.type === 'image' ? 'images' : 'files'} from this URL: send a data: URL.`
  return new AppError('input_not_accepted', { message })
}

/** RFC 2397. The media type is empty where none is said. */
function parseDataUrl(url: string): { mediaType: string; base64: string } {
  const comma = url.indexOf(',')
  if (comma === -1) throw new AppError('input_not_accepted', { message: 'A data: URL holds no data.' })
  const [mediaType = '', ...parameters] = url.slice('data:'.length, comma).split(';')
  const data = url.slice(comma + 1)
  const isBase64 = parameters.some((parameter) => parameter.trim().toLowerCase() === 'base64')
  const type = mediaType.trim().toLowerCase()
  if (isBase64) return { mediaType: type, base64: data.includes('%') ? percentDecode(data).toString() : data }
  return { mediaType: type, base64: percentDecode(data).toString('base64') }
}

/** Byte by byte: what is encoded need not be UTF-8. */
function percentDecode(text: string): Buffer {
  const bytes = Buffer.from(text, 'utf8')
  let length = 0
  for (let i = 0; i < bytes.length; i++) {
    const hex = bytes[i] === 0x25 ? bytes.toString('latin1', i + 1, i + 3) : ''
    const isEncoded = /^[0-9a-f]{2}$/i.test(hex)
    bytes[length++] = isEncoded ? Number.parseInt(hex, 16) : (bytes[i] ?? 0)
    if (isEncoded) i += 2
  }
  return bytes.subarray(0, length)
}

/** Keys are media types, `image/*` or `*`. */
function isSupported(url: string, options: { mediaType: string; supportedUrls: SupportedUrls }): boolean {
  const type = options.mediaType.toLowerCase()
  for (const [key, patterns] of Object.entries(options.supportedUrls)) {
    const pattern = key.toLowerCase()
    const fits =
      pattern === '*' ||
      pattern === '*/*' ||
      pattern === type ||
      (pattern.endsWith('/*') && type.startsWith(pattern.slice(0, -1)))
    if (fits && patterns.some((one) => matches(one, url))) return true
  }
  return false
}

/** A pattern that remembers where it stopped would answer differently each time. */
function matches(pattern: RegExp, url: string): boolean {
  const { global, sticky, flags } = pattern
  return (global || sticky ? new RegExp(pattern, flags.replace(/[gy]/g, '')) : pattern).test(url)
}
