// Asking the server.

export async function ask(path, options) {
  const answer = await fetch(path, options);
  if (answer.status === 401) {
    location.replace("/login");
    return new Promise(() => {}); // the page is being left
  }
  if (!answer.ok) throw new Error((await answer.json()).detail);
  return answer.status === 204 ? null : answer.json();
}
