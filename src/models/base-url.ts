import { AppError } from '../errors.ts'

/**
 * Where a provider is. Throws `model_not_configured` where the text is no `http://` or `https://` URL, or holds a user or
 * password, which no request would carry; what it says holds nothing of the text. `whose` is for the message.
 */
export function parseBaseURL(baseURL: string, whose = 'a model provider'): URL {
  const url = URL.parse(baseURL)
  const known = url?.protocol === 'http:' || url?.protocol === 'https:'
  if (known && url.username === '' && url.password === '') return url
  const message = `The base URL of ${whose} must be an http:// or https:// URL without a user or password.`
  throw new AppError('model_not_configured', { message })
}
