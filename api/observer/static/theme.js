// Before anything is drawn: the theme that was chosen here, if one was.
try {
  const chosen = localStorage.getItem("observer-theme");
  if (chosen) document.documentElement.dataset.theme = chosen;
} catch { /* a browser that keeps nothing */ }
