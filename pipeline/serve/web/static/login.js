// Signing in.

const form = document.getElementById("sign-in");
const problem = document.getElementById("problem");

// A link from elsewhere comes without the cookie: whoever is signed in goes on.
if ((await fetch("/api/me")).ok) location.replace("/");

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  problem.textContent = "";
  const button = form.querySelector("button");
  button.disabled = true;
  try {
    const answer = await fetch("/login", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(Object.fromEntries(new FormData(form))),
    });
    if (answer.ok) {
      location.replace("/");
      return;
    }
    const { detail } = await answer.json();
    problem.textContent = detail[0].toUpperCase() + detail.slice(1) + ".";
  } catch {
    problem.textContent = "The server does not answer.";
  } finally {
    button.disabled = false;
  }
  form.elements.password.select();
});
