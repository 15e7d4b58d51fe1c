document.title = "Shop, open";
